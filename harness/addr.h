#ifndef SMTPDTEST_ADDR_H
#define SMTPDTEST_ADDR_H

#include <sys/socket.h>

/* A numeric address "127.0.0.1:25", "[::1]:25", "127.0.0.2"; -1 if it is none. */
int	addr_parse(const char *, int port, struct sockaddr_storage *, socklen_t *);
int	addr_port(const struct sockaddr_storage *);

#endif
