/* ASCII armor: BEGIN line, padded base64 in lines of 64 columns, END line (specs/sops-age.md 1.12).
 * White space may stand before BEGIN and after END, nowhere else. */
#include "base/base64.h"
#include "reconcile/secrets/age_format.h"
#include <sodium.h>

#define BEGIN_LINE  "-----BEGIN AGE ENCRYPTED FILE-----"
#define END_LINE    "-----END AGE ENCRYPTED FILE-----"
#define COLUMNS     64
#define LINE_BYTES  48
#define SPACE_LIMIT 1024 /* of white space outside, as age's reader has it */
#define PADDED      sodium_base64_VARIANT_ORIGINAL

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Takes a line, its LF or CRLF dropped. The last one needs no line end. */
static bool next_line(const char **at, const char *end, struct age_arg *line_out)
{
	if (*at == end)
		return false;
	const char *stop = memchr(*at, '\n', (size_t)(end - *at));
	*line_out = (struct age_arg){*at, (size_t)((stop ? stop : end) - *at)};
	*at = stop ? stop + 1 : end;
	if (stop && line_out->len && line_out->text[line_out->len - 1] == '\r')
		line_out->len--;
	return true;
}

static bool line_is(struct age_arg line, const char *text)
{
	return line.len == strlen(text) && memcmp(line.text, text, line.len) == 0;
}

static bool find_begin(const char **at, const char *end, struct error *err)
{
	const char *start = *at;
	struct age_arg line = {0};
	while (*at < end && is_space(**at))
		(*at)++;
	if (*at - start > SPACE_LIMIT)
		return error_set(err, ERR_INVALID, "age armor starts with too much white space");
	/* BEGIN must stand at the start of its line: only whole lines of white space before it */
	if (*at > start && (*at)[-1] != '\n')
		return error_set(err, ERR_INVALID, "age armor is indented");
	if (!next_line(at, end, &line) || !line_is(line, BEGIN_LINE))
		return error_set(err, ERR_INVALID, "age armor has no correct BEGIN line");
	return true;
}

static bool check_behind(const char *at, const char *end, struct error *err)
{
	if (end - at >= SPACE_LIMIT)
		return error_set(err, ERR_INVALID, "age armor is followed by too much");
	for (; at < end; at++) {
		if (!is_space(*at))
			return error_set(err, ERR_INVALID, "age armor is followed by other text");
	}
	return true;
}

bool age_armor_decode(const char *text, size_t len, struct buf *out, struct error *err)
{
	const char *at = text, *end = text + len;
	struct age_arg line;
	bool more = true;
	if (!find_begin(&at, end, err))
		return false;
	while (next_line(&at, end, &line)) {
		uint8_t bytes[LINE_BYTES];
		struct base64_room room = {bytes, sizeof(bytes), 0};
		if (line_is(line, END_LINE))
			return check_behind(at, end, err);
		if (!more || !line.len || line.len > COLUMNS ||
			!base64_decode(BASE64_PADDED, line.text, line.len, &room))
			return error_set(err, ERR_INVALID, "age armor has a malformed line");
		more = room.len == LINE_BYTES;
		buf_add(out, bytes, room.len);
	}
	return error_set(err, ERR_INVALID, "age armor has no END line");
}

void age_armor_encode(const uint8_t *bytes, size_t len, struct buf *out)
{
	char line[sodium_base64_ENCODED_LEN(LINE_BYTES, PADDED)];
	buf_add_str(out, BEGIN_LINE "\n");
	for (size_t at = 0; at < len; at += LINE_BYTES) {
		size_t part = len - at < LINE_BYTES ? len - at : LINE_BYTES;
		buf_addf(out, "%s\n",
			sodium_bin2base64(line, sizeof(line), bytes + at, part, PADDED));
	}
	buf_add_str(out, END_LINE "\n");
}
