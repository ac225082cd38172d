/*  loopback.h - which endpoints stay on this host, and which are files.

    Connections are neither encrypted nor authenticated, so no agent listens on any address of another host, or connects
    to one.
*/
#ifndef TIM3_LOOPBACK_H
#define TIM3_LOOPBACK_H

#include <stdbool.h>

#define TIM3_HOST_MAX 15 /* 127.255.255.255 */

/*  Parses HOST:PORT with a host in 127.0.0.0/8, in numbers: a name could be made to mean another host. False when it
    is anything else.  */
bool tim3_loopback_parse (const char *text, char host[TIM3_HOST_MAX + 1], unsigned *port);

/*  True for ipc:// and for tcp:// with a loopback address.  */
bool tim3_endpoint_stays_here (const char *endpoint);

/*  The file of an endpoint ipc://PATH, as a part of its text; NULL for any other endpoint. One that begins with @ is a name
    in the abstract name space, and no file.  */
const char *tim3_endpoint_path (const char *endpoint);

#endif
