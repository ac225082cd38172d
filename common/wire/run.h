/*  run.h - runs: consecutive events of one source, as bytes that outbox, publications, log and stretches of it all
    hold, so that nobody on the way has to take them apart and put them together again.

    The events stand one behind the other, each an array [type, time_us, body] whose body is bytes once more: the event's
    own fields, an array in the order of its table. The bytes as a whole are one MessagePack value, which is what a
    member called events is; passing over that value, or over a body, costs one step.
*/
#ifndef TIM3_RUN_H
#define TIM3_RUN_H

#include "base/linkage.h"
#include "wire/messages.h"
#include "wire/reader.h"

TIM3_C_BEGIN

typedef struct {
    uint64_t type;
    uint64_t time_us;
    tim3_raw_t body;      /* its fields */
    const uint8_t *start; /* of all of it */
} tim3_event_t;

/*  ------------------------------------------------------------------------------------------- writing  */

/*  Most bytes that one event adds.  */
#define TIM3_EVENT_BYTES_MAX (TIM3_BODY_MAX + 32)

/*  Makes a buffer an empty run.  */
void tim3_run_begin (tim3_buffer_t *self);
void tim3_run_add (tim3_buffer_t *self, tim3_type_t type, uint64_t time_us, const void *body);
/*  Events as they stand in another run.  */
void tim3_run_append (tim3_buffer_t *self, const uint8_t *events, size_t size);
/*  What a member called events is. It points into the buffer.  */
tim3_raw_t tim3_run_end (tim3_buffer_t *self);
/*  What stands in front of so many bytes of events, for who puts it there without a buffer for each run.  */
#define TIM3_RUN_HEAD 5
void tim3_run_head (uint8_t *at, size_t size);

/*  ------------------------------------------------------------------------------------------- reading  */

/*  Begins to read the events of a run. False when it is none.  */
bool tim3_run_open (const tim3_raw_t *events, tim3_reader_t *reader);
/*  Takes the next event. False at the end (tim3_read_left is 0 then), and where there is something else.  */
bool tim3_run_next (tim3_reader_t *reader, tim3_event_t *event);
/*  Fills body, a struct of the event's shape. False when it cannot be read, or is of no event.  */
bool tim3_event_read (uint64_t type, const tim3_raw_t *fields, void *body);

/*  A run event by event, each with all that is known of it. Ends with the last, or with the first that cannot be read.  */
typedef struct {
    tim3_run_t run;
    tim3_reader_t reader;
    char asset[TIM3_ASSET_MAX + 1]; /* of the source */
    uint64_t passed;
} tim3_run_walk_t;

void tim3_run_walk (tim3_run_walk_t *self, const tim3_run_t *run);
bool tim3_run_step (tim3_run_walk_t *self, tim3_event_item_t *item);
/*  Whether all went well: as many events as the run told, and nothing else.  */
bool tim3_run_whole (const tim3_run_walk_t *self);

/*  The events of a stretch one by one, those before its from left out.  */
typedef struct {
    const tim3_events_t *events;
    uint32_t runs; /* walked or being walked */
    tim3_run_walk_t walk;
} tim3_events_walk_t;

void tim3_events_walk (tim3_events_walk_t *self, const tim3_events_t *events);
bool tim3_events_step (tim3_events_walk_t *self, tim3_event_item_t *item);

/*  Name and asset; "" for what is no event.  */
#define TIM3_TOPIC_MAX 64
void tim3_topic (uint64_t type, const char *asset, char topic[TIM3_TOPIC_MAX + 1]);

TIM3_C_END

#endif
