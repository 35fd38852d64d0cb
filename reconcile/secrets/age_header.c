/* A header, byte by byte (specs/sops-age.md 1.2):
 *
 *   age-encryption.org/v1 LF
 *   -> TYPE ARG ... LF                    stanza: arguments, then its body in lines of
 *   64 characters of base64 LF            64 columns, the last one shorter (perhaps empty)
 *   0..63 characters LF
 *   --- 43 characters of base64 LF        HMAC over everything up to the dashes
 */
#include "base/base64.h"
#include "reconcile/secrets/age_format.h"
#include <sodium.h>

#define VERSION_LINE  "age-encryption.org/v1\n"
#define BODY_COLUMNS  64
#define MAC_TEXT_LEN  43
#define BODY_LINE_MAX 48 /* bytes in a full line */

struct reader {
	const char *bytes;
	size_t len, at;
};

/* The next line without its LF; bytes past the header's limit do not exist for it. */
static bool next_line(struct reader *reader, struct age_arg *line_out, struct error *err)
{
	const char *start = reader->bytes + reader->at;
	size_t left = reader->len - reader->at;
	const char *end = left ? memchr(start, '\n', left) : NULL;
	if (!end && reader->len == AGE_MAX_HEADER)
		return error_set(err, ERR_INVALID, "age header is larger than the limit of %d KiB",
			AGE_MAX_HEADER / 1024);
	if (!end)
		return error_set(err, ERR_INVALID, "age header ends too early");
	*line_out = (struct age_arg){start, (size_t)(end - start)};
	reader->at += line_out->len + 1;
	return true;
}

bool age_base64_decode(const char *text, size_t len, uint8_t *out, size_t size)
{
	struct base64_room room = {out, size, 0};
	return base64_decode(BASE64_UNPADDED, text, len, &room) && room.len == size;
}

void age_base64_encode(const void *bytes, size_t len, struct buf *out)
{
	char text[sodium_base64_ENCODED_LEN(
		BODY_LINE_MAX, sodium_base64_VARIANT_ORIGINAL_NO_PADDING)];
	const uint8_t *from = bytes;
	for (size_t at = 0; at < len; at += BODY_LINE_MAX) {
		size_t part = len - at < BODY_LINE_MAX ? len - at : BODY_LINE_MAX;
		buf_add_str(out, sodium_bin2base64(text, sizeof(text), from + at, part,
					 sodium_base64_VARIANT_ORIGINAL_NO_PADDING));
	}
}

/* "-> type arg": one blank between arguments, every argument of visible ASCII. */
static bool parse_args(struct age_arg line, struct age_stanza *stanza, struct error *err)
{
	size_t at = 2;
	while (at < line.len && line.text[at] == ' ') {
		size_t start = ++at;
		while (at < line.len && line.text[at] >= 0x21 && line.text[at] <= 0x7e)
			at++;
		if (at == start)
			break;
		if (stanza->arg_count < AGE_KEPT_ARGS)
			stanza->args[stanza->arg_count] =
				(struct age_arg){line.text + start, at - start};
		stanza->arg_count++;
	}
	if (at != line.len || !stanza->arg_count || line.text[at - 1] == ' ')
		return error_set(err, ERR_INVALID, "age header has a malformed stanza line");
	return true;
}

static bool parse_body(struct reader *reader, struct age_header *header, struct age_stanza *stanza,
	struct error *err)
{
	stanza->body_at = header->bodies.len;
	for (;;) {
		struct age_arg line;
		uint8_t bytes[BODY_LINE_MAX];
		if (!next_line(reader, &line, err))
			return false;
		size_t size = line.len / 4 * 3 + (line.len % 4 ? line.len % 4 - 1 : 0);
		if (line.len > BODY_COLUMNS || !age_base64_decode(line.text, line.len, bytes, size))
			return error_set(
				err, ERR_INVALID, "age header has a malformed stanza body");
		buf_add(&header->bodies, bytes, size);
		stanza->body_len += size;
		if (line.len < BODY_COLUMNS)
			return true;
	}
}

static bool parse_stanza(
	struct reader *reader, struct age_header *header, struct age_arg line, struct error *err)
{
	struct age_stanza stanza = {0};
	if (header->count == AGE_MAX_STANZAS)
		return error_set(err, ERR_INVALID,
			"age header has more than the limit of %d stanzas", AGE_MAX_STANZAS);
	if (!parse_args(line, &stanza, err) || !parse_body(reader, header, &stanza, err))
		return false;
	mem_grow(header->stanzas, header->count, header->capacity);
	header->stanzas[header->count++] = stanza;
	return true;
}

static bool parse_end(const struct reader *reader, struct age_header *header, struct age_arg line,
	struct error *err)
{
	if (line.len != 4 + MAC_TEXT_LEN || line.text[3] != ' ' ||
		!age_base64_decode(line.text + 4, MAC_TEXT_LEN, header->mac, AGE_HASH_SIZE))
		return error_set(err, ERR_INVALID, "age header has a malformed end line");
	header->mac_covers = (size_t)(line.text - reader->bytes) + 3;
	header->size = reader->at;
	return true;
}

bool age_header_parse(
	const char *bytes, size_t len, struct age_header *header_out, struct error *err)
{
	struct reader reader = {bytes, len < AGE_MAX_HEADER ? len : AGE_MAX_HEADER, 0};
	struct age_header *header = header_out;
	*header = (struct age_header){.bytes = bytes};
	buf_init(&header->bodies, AGE_MAX_HEADER);
	size_t version = strlen(VERSION_LINE);
	if (len < version || memcmp(bytes, VERSION_LINE, version) != 0)
		return error_set(err, ERR_INVALID, "not a file of age-encryption.org/v1");
	reader.at = version;
	for (;;) {
		struct age_arg line;
		if (!next_line(&reader, &line, err))
			return false;
		if (line.len >= 3 && memcmp(line.text, "---", 3) == 0)
			return parse_end(&reader, header, line, err);
		if (line.len < 2 || memcmp(line.text, "->", 2) != 0)
			return error_set(
				err, ERR_INVALID, "age header has a line that is no stanza");
		if (!parse_stanza(&reader, header, line, err))
			return false;
	}
}

void age_header_clear(struct age_header *header)
{
	free(header->stanzas);
	buf_clear(&header->bodies);
	*header = (struct age_header){0};
}

bool age_stanza_is(const struct age_stanza *stanza, const char *type)
{
	return stanza->args[0].len == strlen(type) &&
	       memcmp(stanza->args[0].text, type, stanza->args[0].len) == 0;
}

void age_header_add(struct buf *header, const char *args, const uint8_t *body, size_t len)
{
	if (!header->len)
		buf_add_str(header, VERSION_LINE);
	buf_addf(header, "-> %s\n", args);
	for (size_t at = 0; at + BODY_LINE_MAX <= len; at += BODY_LINE_MAX) {
		age_base64_encode(body + at, BODY_LINE_MAX, header);
		buf_add_char(header, '\n');
	}
	age_base64_encode(body + len / BODY_LINE_MAX * BODY_LINE_MAX, len % BODY_LINE_MAX, header);
	buf_add_char(header, '\n');
}

void age_header_mac(const uint8_t file_key[AGE_FILE_KEY_SIZE], const char *bytes, size_t len,
	uint8_t mac_out[AGE_HASH_SIZE])
{
	uint8_t key[AGE_HASH_SIZE];
	age_hkdf((struct age_bytes){file_key, AGE_FILE_KEY_SIZE}, (struct age_bytes){0}, "header",
		key);
	crypto_auth_hmacsha256(mac_out, (const uint8_t *)bytes, len, key);
	sodium_memzero(key, sizeof(key));
}

void age_hkdf(
	struct age_bytes ikm, struct age_bytes salt, const char *info, uint8_t out[AGE_HASH_SIZE])
{
	uint8_t prk[AGE_HASH_SIZE];
	crypto_auth_hmacsha256_state state;
	crypto_auth_hmacsha256_init(&state, salt.len ? salt.bytes : prk, salt.len); /* never NULL */
	crypto_auth_hmacsha256_update(&state, ikm.bytes, ikm.len);
	crypto_auth_hmacsha256_final(&state, prk);

	crypto_auth_hmacsha256_init(&state, prk, sizeof(prk));
	crypto_auth_hmacsha256_update(&state, (const uint8_t *)info, strlen(info));
	crypto_auth_hmacsha256_update(&state, (const uint8_t[]){1}, 1);
	crypto_auth_hmacsha256_final(&state, out);
	sodium_memzero(prk, sizeof(prk));
	sodium_memzero(&state, sizeof(state));
}
