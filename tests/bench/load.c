/*  load.c - options, operations and results of the programs that drive other systems.  */
#include "load.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void load_die (const char *format, ...)
{
    va_list arguments;
    va_start (arguments, format);
    vfprintf (stderr, format, arguments);
    va_end (arguments);
    fputc ('\n', stderr);
    exit (1);
}

uint64_t load_now_us (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

static unsigned number (const char *text, unsigned most)
{
    unsigned long value = strtoul (text, NULL, 10);
    if (value < 1 || value > most)
        load_die ("%s is not from 1 to %u", text, most);
    return (unsigned) value;
}

void load_begin (load_t *self, int argc, char **argv)
{
    static const struct option options[] = {
        {"socket", 1, NULL, 's'}, {"accounts", 1, NULL, 'a'}, {"clients", 1, NULL, 'c'},
        {"zipf", 1, NULL, 'z'},   {"seed", 1, NULL, 'd'},     {"outstanding", 1, NULL, 'o'},
        {"batch", 1, NULL, 'b'},  {"seconds", 1, NULL, 't'},  {0}};
    unsigned accounts = 1000;
    uint64_t seed = 1;
    double theta = 0.0;
    int option;
    *self = (load_t){.clients = 1, .outstanding = 1, .batch = 1, .seconds = 3.0};
    while ((option = getopt_long (argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 's':
            self->socket = optarg;
            break;
        case 'c':
            self->clients = number (optarg, LOAD_CLIENTS_MAX);
            break;
        case 'o':
            self->outstanding = number (optarg, LOAD_OUTSTANDING_MAX);
            break;
        case 'b':
            self->batch = number (optarg, 10000);
            break;
        case 'a':
            accounts = number (optarg, 100000000);
            break;
        case 'd':
            seed = strtoull (optarg, NULL, 10);
            break;
        case 't':
            self->seconds = strtod (optarg, NULL);
            break;
        case 'z':
            if (!tim3ctl_draw_theta (optarg, &theta))
                load_die ("--zipf takes a number from 0 to below 1");
            break;
        default:
            exit (2);
        }
    }
    if (!self->socket || optind != argc)
        load_die ("--socket is missing, or there is something besides options");
    tim3ctl_draw_begin (&self->draw, seed, accounts, theta);
}

void load_start (load_t *self)
{
    self->start_us = load_now_us ();
    self->end_us = self->start_us + (uint64_t) (self->seconds * 1e6);
}

void load_end (load_t *self)
{
    free (self->took_us);
}

bool load_more (const load_t *self)
{
    return load_now_us () < self->end_us;
}

void load_next (load_t *self, char id[LOAD_ID_MAX], char account[TIM3CTL_DRAW_NAME_MAX])
{
    tim3_request_ids_next (&self->ids, id);
    tim3ctl_draw_name (tim3ctl_draw_account (&self->draw, self->next, 1), account);
    self->next++;
}

void load_completed (load_t *self, unsigned mints, uint64_t took_us)
{
    self->completed += mints;
    if (self->count == self->capacity) {
        self->capacity = self->capacity ? self->capacity * 2 : 65536;
        self->took_us = realloc (self->took_us, self->capacity * sizeof *self->took_us);
        if (!self->took_us)
            load_die ("no memory");
    }
    self->took_us[self->count++] = took_us;
}

static int compare_u64 (const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *) a;
    uint64_t right = *(const uint64_t *) b;
    return left < right ? -1 : left > right;
}

static double percentile_ms (const load_t *self, double part)
{
    if (self->count == 0)
        return 0.0;
    return (double) self->took_us[(size_t) ((double) (self->count - 1) * part + 0.5)] / 1e3;
}

void load_print (load_t *self)
{
    double seconds = (double) (load_now_us () - self->start_us) / 1e6;
    if (self->count > 0)
        qsort (self->took_us, self->count, sizeof *self->took_us, compare_u64);
    printf ("{\"completed\": %llu, \"refused\": %llu, \"seconds\": %.6f, \"per_second\": %.1f, "
            "\"p50_ms\": %.3f, \"p95_ms\": %.3f, \"p99_ms\": %.3f, \"p999_ms\": %.3f, \"max_ms\": %.3f}\n",
            (unsigned long long) self->completed, (unsigned long long) self->refused, seconds,
            (double) self->completed / seconds, percentile_ms (self, 0.50), percentile_ms (self, 0.95),
            percentile_ms (self, 0.99), percentile_ms (self, 0.999), percentile_ms (self, 1.0));
}
