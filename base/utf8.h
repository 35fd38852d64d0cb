/* base/utf8.h - what is well-formed UTF-8 (Unicode 15, table 3-7) */
#pragma once
#include "base/mem.h"

/** Bytes (1 to 4) of the well-formed character at @p text, or 0: torn, overlong, surrogate, above
 * U+10FFFF. */
size_t utf8_width(const char *text, size_t len);
/** Is all of it well-formed? */
bool utf8_valid(const char *text, size_t len);
