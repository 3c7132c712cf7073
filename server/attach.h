/*
 * The conversation on the socket `attach`: a client is identified, gets its
 * slot and the segment's descriptors, and later may detach or report a misuse.
 */
#ifndef SERVER_ATTACH_H
#define SERVER_ATTACH_H

#include "server/conn.h"

extern const struct conn_ops attach_ops;

/* Whether the new CONN may attach at all: anybody may ask. */
int attach_admit(struct conn *conn, const char **ret_why);

/* CONN's slot is gone. */
void attach_forget(struct conn *conn);

/* What CONN's client held is back, or on its way: answer its detach. */
void attach_detached(struct conn *conn);

#endif
