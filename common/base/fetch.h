/*  fetch.h - asks for memory that will be read soon.

    Always inlined: gcc takes a function that does nothing else for one without effects, and leaves out every call of it.
    So whatever only calls this is to be inlined (TIM3_FETCHES), too.
*/
#ifndef TIM3_FETCH_H
#define TIM3_FETCH_H

#define TIM3_CACHE_LINE 64
#define TIM3_FETCHES static inline __attribute__ ((always_inline)) void

/*  The line of the cache that it is in. Any address will do.  */
TIM3_FETCHES tim3_fetch (const void *memory)
{
    __builtin_prefetch (memory);
}

#endif
