/* base/base64.h - strict base64 of what is public: ciphertext, tags, public keys
 *
 * Standard alphabet, no white space, unused bits zero. Several times as fast as libsodium's, which
 * takes the same time for all texts; for secrets use that one.
 */
#pragma once
#include "base/mem.h"

enum base64_form { BASE64_PADDED, BASE64_UNPADDED };

/** Where decoded bytes go. */
struct base64_room {
	void *bytes;
	size_t size; /* of the room */
	size_t len;  /* set: bytes that came out */
};

/** Decode all of a text. @return false if it is malformed or does not fit */
MUST_USE bool base64_decode(
	enum base64_form form, const char *text, size_t len, struct base64_room *room);
