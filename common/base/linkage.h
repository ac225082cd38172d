/*  linkage.h - what a header begins and ends its declarations with so that C++ can include it: those that programs with
    the client library get to see.  */
#ifndef TIM3_LINKAGE_H
#define TIM3_LINKAGE_H

#ifdef __cplusplus
#define TIM3_C_BEGIN extern "C" {
#define TIM3_C_END }
#else
#define TIM3_C_BEGIN
#define TIM3_C_END
#endif

#endif
