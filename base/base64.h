/* base/base64.h - strict base64 of what is public: ciphertext, tags, public keys
 *
 * Standard alphabet, no white space, unused bits zero. Several times as fast as libsodium's, which
 * takes the same time for all texts; for secrets use that one.
 */
#pragma once
#include "base/mem.h"

enum base64_form { BASE64_PADDED, BASE64_UNPADDED };

/** Decode all of a text.
 *  @param size_out  of what was decoded; at most @p max
 *  @return false if it is malformed or does not fit */
MUST_USE bool base64_decode(enum base64_form form, const char *text, size_t len, void *out,
	size_t max, size_t *size_out);
