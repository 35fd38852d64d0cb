/* server/cli/passphrase.h - ask a person at the terminal for a passphrase */
#pragma once
#include "base/buf.h"
#include "base/error.h"

/** Is there a terminal to ask at? */
bool passphrase_possible(void);
/** Ask without echo, on the terminal of the process whatever its standard input is; for struct
 *  age_ask. ERR_STOPPED when the person gives up. @param data  unused */
MUST_USE bool passphrase_ask(
	void *data, const char *source, struct buf *passphrase_out, struct error *err);
