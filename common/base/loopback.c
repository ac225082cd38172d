/*  loopback.c - which endpoints stay on this host, and which are files.  */
#include "base/loopback.h"

#include <stdlib.h>
#include <string.h>

#define PORT_MAX 65535

/*  Takes a decimal number without leading zeros from *text on, and what must come after it; moves *text behind.  */
static bool take_number (const char **text, char end, unsigned most, unsigned *number)
{
    size_t digits = strspn (*text, "0123456789");
    if (digits == 0 || digits > 5 || (digits > 1 && **text == '0') || (*text)[digits] != end)
        return false;
    *number = (unsigned) strtoul (*text, NULL, 10);
    *text += digits + 1;
    return *number <= most;
}

static bool take_port (const char *text, unsigned *port)
{
    return take_number (&text, '\0', PORT_MAX, port) && *port > 0;
}

bool tim3_loopback_parse (const char *text, char host[TIM3_HOST_MAX + 1], unsigned *port)
{
    unsigned part;
    const char *at = text;
    if (!take_number (&at, '.', 127, &part) || part != 127 || !take_number (&at, '.', 255, &part) ||
        !take_number (&at, '.', 255, &part) || !take_number (&at, ':', 255, &part))
        return false;
    size_t length = (size_t) (at - text) - 1;
    memcpy (host, text, length);
    host[length] = '\0';
    return take_port (at, port);
}

/*  What is behind ipc://, NULL where that is not in front.  */
static const char *ipc_name (const char *endpoint)
{
    static const char ipc[] = "ipc://";
    return strncmp (endpoint, ipc, sizeof ipc - 1) == 0 ? endpoint + sizeof ipc - 1 : NULL;
}

const char *tim3_endpoint_path (const char *endpoint)
{
    const char *name = ipc_name (endpoint);
    return name && name[0] != '\0' && name[0] != '@' ? name : NULL;
}

bool tim3_endpoint_stays_here (const char *endpoint)
{
    static const char tcp[] = "tcp://";
    static const char tcp_v6[] = "tcp://[::1]:";
    char host[TIM3_HOST_MAX + 1];
    unsigned port;
    const char *name = ipc_name (endpoint);
    if (name)
        return name[0] != '\0';
    if (strncmp (endpoint, tcp_v6, sizeof tcp_v6 - 1) == 0)
        return take_port (endpoint + sizeof tcp_v6 - 1, &port);
    return strncmp (endpoint, tcp, sizeof tcp - 1) == 0 &&
           tim3_loopback_parse (endpoint + sizeof tcp - 1, host, &port);
}
