/*  log.c - logfmt lines on stderr. One write per line, so lines of several processes do not mix.  */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char s_name[64] = "tim3";
static tim3_level_t s_least = TIM3_INFO;
static const char *const s_levels[] = {"debug", "info", "warn", "error"};

void tim3_log_open (const char *name, tim3_level_t least)
{
    snprintf (s_name, sizeof s_name, "%s", name);
    s_least = least;
}

static void write_line (tim3_level_t level, const char *event, const char *format, va_list arguments)
{
    char line[1024];
    struct timespec now;
    struct tm utc;

    clock_gettime (CLOCK_REALTIME, &now);
    gmtime_r (&now.tv_sec, &utc);
    size_t used = strftime (line, sizeof line, "ts=%Y-%m-%dT%H:%M:%S", &utc);
    used += (size_t) snprintf (line + used, sizeof line - used, ".%06ldZ level=%s agent=%s event=\"%s\" ",
                               now.tv_nsec / 1000, s_levels[level], s_name, event);
    int more = vsnprintf (line + used, sizeof line - used, format, arguments);
    used = more < 0 ? used : used + (size_t) more;
    if (used > sizeof line - 2)
        used = sizeof line - 2;
    line[used++] = '\n';
    ssize_t ignored = write (STDERR_FILENO, line, used);
    (void) ignored;
}

void tim3_log (tim3_level_t level, const char *event, const char *format, ...)
{
    va_list arguments;
    if (level < s_least)
        return;
    va_start (arguments, format);
    write_line (level, event, format, arguments);
    va_end (arguments);
}

noreturn void tim3_fatal (int exit_code, const char *format, ...)
{
    va_list arguments;
    va_start (arguments, format);
    write_line (TIM3_ERROR, "fatal", format, arguments);
    va_end (arguments);
    exit (exit_code);
}

noreturn void tim3_panic (const char *file, int line, const char *what)
{
    tim3_log (TIM3_ERROR, "panic", "at=%s:%d broken=\"%s\"", file, line, what);
    abort ();
}
