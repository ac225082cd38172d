/*  log.h - logfmt lines on stderr, and the two ways to die.

    tim3_fatal: the environment is broken (a file, a port, a disk); the text tells the operator what to do.
    tim3_panic: this program is broken; it stops at once so that nothing wrong is written.
    TIM3_ASSERT guards what must hold, in release builds too. Peer input never reaches one.
*/
#ifndef TIM3_LOG_H
#define TIM3_LOG_H

#include <stdnoreturn.h>

typedef enum { TIM3_DEBUG, TIM3_INFO, TIM3_WARN, TIM3_ERROR } tim3_level_t;

/*  Exit codes of agents. TIM3_EXIT_PERMANENT tells the supervisor not to try again.  */
#define TIM3_EXIT_OK 0
#define TIM3_EXIT_USAGE 2
#define TIM3_EXIT_RETRY 75
#define TIM3_EXIT_PERMANENT 100

/*  The name is copied into every line that follows.  */
void tim3_log_open (const char *name, tim3_level_t least);

/*  event is a short constant phrase; the rest is logfmt, as in ("started", "pid=%d", pid).
    Values that may hold spaces are written by the caller in quotes.  */
void tim3_log (tim3_level_t level, const char *event, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));

noreturn void tim3_fatal (int exit_code, const char *format, ...) __attribute__ ((format (printf, 2, 3)));
noreturn void tim3_panic (const char *file, int line, const char *what);

#define TIM3_ASSERT(condition)                                                                               \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            tim3_panic (__FILE__, __LINE__, #condition);                                                     \
    } while (0)

#endif
