/* reconcile/secrets/secret_spelling.h - how a secret can look in output: as it is, base64, URL,
 * JSON
 *
 * For secret.c and its tests.
 */
#pragma once
#include "base/buf.h"

#define SECRET_MIN 6 /* shorter ones would mask ordinary text */

/**
 * Call @p each for every spelling of @p value that has SECRET_MIN bytes or more, the plain one
 * first; the same text may come twice. Base64 comes at all three alignments without the
 * characters that its neighbours take part in, so it is found inside the base64 of a longer text.
 */
void secret_spellings(const char *value, size_t len,
	void (*each)(void *data, const char *text, size_t len), void *data);
