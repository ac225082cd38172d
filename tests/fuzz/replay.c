/*  replay.c - runs targets without a fuzzer, built by any compiler.

        tim3-fuzz-replay list                     names of targets
        tim3-fuzz-replay words                    a dictionary for libFuzzer: names of fields, heads of values
        tim3-fuzz-replay seeds TARGET FOLDER      write the seed corpus
        tim3-fuzz-replay files TARGET FILE...     run inputs
        tim3-fuzz-replay mutate TARGET COUNT SEED FILE
                                                  run the seeds and COUNT mutations of them; the input that
                                                  fails, if one does, is left in FILE

    Every input lies right before a page that cannot be read, so that one byte too far ends the process. Exit
    code 0 says that all held; else the process ends by a signal.
*/
#include "../unit/seeded.h"
#include "base/bytes.h"
#include "fuzz.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ROOM (1024 * 1024)
#define INPUT_MOST (16 * 1024)
#define SECONDS_MOST 120 /* for one input, on a slow machine */

typedef struct {
    tim3_buffer_t *items;
    size_t count;
} corpus_t;

static uint8_t *s_end; /* where what can be read ends */
static const uint8_t *s_input;
static size_t s_size;
static const char *s_left = "";

/*  ---------------------------------------------------------------------------------------- running one  */

static void make_room (void)
{
    size_t page = (size_t) sysconf (_SC_PAGESIZE);
    uint8_t *room = mmap (NULL, ROOM + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED || mprotect (room + ROOM, page, PROT_NONE)) {
        perror ("tim3-fuzz-replay: memory");
        exit (2);
    }
    s_end = room + ROOM;
}

/*  Leaves the input that was run in a file, then dies of the same signal.  */
static void on_death (int number)
{
    int file = *s_left ? open (s_left, O_CREAT | O_TRUNC | O_WRONLY, 0644) : -1;
    if (file >= 0) {
        ssize_t ignored = write (file, s_input, s_size);
        (void) ignored;
        close (file);
    }
    signal (number, SIG_DFL);
    raise (number);
}

static void watch (void)
{
    static const int deadly[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM};
    for (unsigned i = 0; i < sizeof deadly / sizeof deadly[0]; i++)
        signal (deadly[i], on_death);
}

static void run_one (const fuzz_target_t *target, const uint8_t *data, size_t size)
{
    s_size = size < ROOM ? size : ROOM;
    s_input = s_end - s_size;
    if (s_size > 0)
        memcpy (s_end - s_size, data, s_size);
    alarm (SECONDS_MOST);
    target->run (s_input, s_size);
}

/*  ---------------------------------------------------------------------------------------- the commands  */

static int list (void)
{
    const fuzz_target_t *target;
    for (unsigned i = 0; (target = fuzz_target_at (i)); i++)
        puts (target->name);
    return 0;
}

/*  Fields as they lie in a body: a short text's head, then the name.  */
static void print_words (const tim3_shape_t *shape)
{
    for (unsigned i = 0; i < shape->count; i++)
        printf ("\"\\x%02x%s\"\n", 0xa0u | shape->fields[i].name_length, shape->fields[i].name);
}

static int words (void)
{
    static const char *const others[] = {"\\xcf\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff",
                                         "\\xc4\\x10",
                                         "\\xc4 ",
                                         "\\x9a\\x01",
                                         "TIM3",
                                         "asset",
                                         "\\x0a        ",
                                         "--",
                                         "0x"};
    const tim3_message_t *message;
    for (unsigned i = 0; i < sizeof others / sizeof others[0]; i++)
        printf ("\"%s\"\n", others[i]);
    for (unsigned i = 0; (message = tim3_message_at (i)); i++)
        print_words (message->shape);
    return 0;
}

typedef struct {
    const char *folder;
    unsigned count;
} folder_t;

static void keep_file (void *context, const void *data, size_t size)
{
    folder_t *folder = context;
    char path[512];
    snprintf (path, sizeof path, "%s/seed-%03u", folder->folder, folder->count++);
    FILE *file = fopen (path, "wb");
    if (!file || fwrite (data, 1, size, file) != size || fclose (file) != 0) {
        perror (path);
        exit (2);
    }
}

static int write_seeds (const fuzz_target_t *target, const char *path)
{
    folder_t folder = {path, 0};
    target->seed (keep_file, &folder);
    return 0;
}

static int run_files (const fuzz_target_t *target, int count, char **paths)
{
    static uint8_t data[ROOM];
    for (int i = 0; i < count; i++) {
        FILE *file = fopen (paths[i], "rb");
        if (!file) {
            perror (paths[i]);
            return 2;
        }
        size_t size = fread (data, 1, sizeof data, file);
        fclose (file);
        fprintf (stderr, "%s\n", paths[i]); /* so that the last line names the one that failed */
        run_one (target, data, size);
    }
    return 0;
}

static void keep_memory (void *context, const void *data, size_t size)
{
    corpus_t *corpus = context;
    corpus->items = realloc (corpus->items, (corpus->count + 1) * sizeof *corpus->items);
    FUZZ_CHECK (corpus->items);
    corpus->items[corpus->count] = (tim3_buffer_t){0};
    tim3_buffer_append (&corpus->items[corpus->count++], data, size);
}

/*  -------------------------------------------------------------------------------------------- mutations  */

static size_t below (seeded_t *random, size_t most)
{
    return (size_t) seeded_below (random, most ? most : 1);
}

static void overwrite (seeded_t *random, uint8_t *data, size_t size)
{
    static const uint8_t words[] = {0,    1,    0x7f, 0x80, 0x90, 0xa0, 0xc0, 0xc4,
                                    0xcf, 0xdb, 0xdd, 0xdf, 0xff, '.',  '0',  '"'};
    if (size == 0)
        return;
    uint8_t *at = data + below (random, size);
    if (below (random, 2))
        *at ^= (uint8_t) (1u << below (random, 8));
    else
        *at = words[below (random, sizeof words)];
}

/*  Takes a stretch out, or doubles one. Returns the new size.  */
static size_t move_stretch (seeded_t *random, uint8_t *data, size_t size)
{
    size_t from = below (random, size);
    size_t length = below (random, size - from);
    if (below (random, 2)) {
        memmove (data + from, data + from + length, size - from - length);
        return size - length;
    }
    if (size + length > INPUT_MOST)
        return size;
    memmove (data + from + length, data + from, size - from);
    return size + length;
}

/*  Replaces the tail by the tail of another seed.  */
static size_t graft (seeded_t *random, uint8_t *data, size_t size, const tim3_buffer_t *other)
{
    size_t head = below (random, size + 1);
    size_t from = below (random, other->size + 1);
    size_t tail = other->size - from;
    if (tail > INPUT_MOST - head)
        tail = INPUT_MOST - head;
    if (tail > 0)
        memcpy (data + head, other->data + from, tail);
    return head + tail;
}

static size_t mutate (seeded_t *random, const corpus_t *corpus, uint8_t *data)
{
    const tim3_buffer_t *first = &corpus->items[below (random, corpus->count)];
    size_t size = first->size < INPUT_MOST ? first->size : INPUT_MOST;
    if (size > 0)
        memcpy (data, first->data, size);
    for (size_t changes = 1 + below (random, 6); changes > 0; changes--)
        switch (below (random, 6)) {
        case 0:
            size = move_stretch (random, data, size);
            break;
        case 1:
            size = graft (random, data, size, &corpus->items[below (random, corpus->count)]);
            break;
        case 2:
            size = below (random, 8) ? size : below (random, size + 1);
            break;
        default:
            overwrite (random, data, size);
        }
    return size;
}

static int run_mutations (const fuzz_target_t *target, unsigned long count, uint64_t seed)
{
    static uint8_t data[INPUT_MOST];
    corpus_t corpus = {0};
    seeded_t random = {seed};

    target->seed (keep_memory, &corpus);
    for (size_t i = 0; i < corpus.count; i++)
        run_one (target, corpus.items[i].data, corpus.items[i].size);
    for (unsigned long i = 0; i < count; i++)
        run_one (target, data, mutate (&random, &corpus, data));
    for (size_t i = 0; i < corpus.count; i++)
        tim3_buffer_free (&corpus.items[i]);
    free (corpus.items);
    return 0;
}

static int usage (void)
{
    fputs ("usage: tim3-fuzz-replay list\n"
           "       tim3-fuzz-replay words\n"
           "       tim3-fuzz-replay seeds TARGET FOLDER\n"
           "       tim3-fuzz-replay files TARGET FILE...\n"
           "       tim3-fuzz-replay mutate TARGET COUNT SEED FILE\n",
           stderr);
    return 2;
}

int main (int argc, char **argv)
{
    const fuzz_target_t *target = argc > 2 ? fuzz_target (argv[2]) : NULL;
    if (argc == 2 && strcmp (argv[1], "list") == 0)
        return list ();
    if (argc == 2 && strcmp (argv[1], "words") == 0)
        return words ();
    if (!target)
        return usage ();
    make_room ();
    watch ();
    if (argc == 4 && strcmp (argv[1], "seeds") == 0)
        return write_seeds (target, argv[3]);
    if (argc > 3 && strcmp (argv[1], "files") == 0)
        return run_files (target, argc - 3, argv + 3);
    if (argc != 6 || strcmp (argv[1], "mutate") != 0)
        return usage ();
    s_left = argv[5];
    return run_mutations (target, strtoul (argv[3], NULL, 10), strtoull (argv[4], NULL, 10));
}
