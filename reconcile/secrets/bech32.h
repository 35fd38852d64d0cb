/* reconcile/secrets/bech32.h - Bech32 (BIP 173, constant 1, no length limit): the text of age keys
 */
#pragma once
#include "base/buf.h"

#define BECH32_MAX_TEXT 8192 /* a post-quantum recipient has 1959 characters */

/** Read a text of one case: the part before the last `1` goes to @p hrp_out (case kept), the data
 *  bytes are appended to @p data_out. False for a wrong checksum, mixed case, stray bits; what was
 *  appended until then is cut off again. */
MUST_USE bool bech32_decode(
	const char *text, size_t len, struct buf *hrp_out, struct buf *data_out);

/** Append the lower-case text of @p data under @p hrp (lower case). */
void bech32_encode(const char *hrp, const uint8_t *data, size_t len, struct buf *out);
