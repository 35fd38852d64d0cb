#include "tests/lib/age_vectors.h"
#include "reconcile/secrets/age_flow.h"
#include <dirent.h>
#include <zlib.h>

#define INFLATED_MAX ((size_t)64 << 20)

struct vector {
	const char *expect, *payload;
	struct age_identities identities;
	bool bad_identity, post_quantum, armored, compressed;
	const char *file;
	size_t len;
};

static void vector_clear(struct vector *vector)
{
	age_identities_clear(&vector->identities);
}

static void take_identity(struct vector *vector, const char *text)
{
	struct error err;
	vector->post_quantum |= strncmp(text, "AGE-SECRET-KEY-PQ-", 18) == 0;
	if (!age_identities_read(&vector->identities, "vector", text, strlen(text), &err))
		vector->bad_identity = true;
}

static void take_field(struct vector *vector, const char *key, const char *value)
{
	if (strcmp(key, "expect") == 0)
		vector->expect = value;
	else if (strcmp(key, "payload") == 0)
		vector->payload = value;
	else if (strcmp(key, "identity") == 0)
		take_identity(vector, value);
	else if (strcmp(key, "passphrase") == 0)
		age_identities_add_passphrase(&vector->identities, value, strlen(value));
	else if (strcmp(key, "armored") == 0)
		vector->armored = true;
	else if (strcmp(key, "compressed") == 0)
		vector->compressed = true;
}

/* Cuts the header's lines in place, up to the empty one. */
static void parse_vector(struct buf *text, struct vector *vector)
{
	char *at = text->text, *end = text->text + text->len;
	vector->expect = vector->payload = "";
	while (at < end && *at != '\n') {
		char *stop = memchr(at, '\n', (size_t)(end - at));
		char *colon = strstr(at, ": ");
		if (!stop || !colon || colon > stop)
			break;
		*stop = *colon = '\0';
		take_field(vector, at, colon + 2);
		at = stop + 1;
	}
	vector->file = at + 1;
	vector->len = (size_t)(end - vector->file);
}

static char *inflate_all(const char *bytes, size_t len, size_t *len_out)
{
	uLongf size = INFLATED_MAX;
	char *out = mem_alloc(size);
	if (uncompress((Bytef *)out, &size, (const Bytef *)bytes, len) != Z_OK)
		abort(); /* a broken fixture */
	*len_out = size;
	return out;
}

static const char *failure_name(enum age_failure failure)
{
	static const char *const names[] = {
		[AGE_OK] = "success",
		[AGE_ARMOR] = "armor failure",
		[AGE_HEADER] = "header failure",
		[AGE_NO_MATCH] = "no match",
		[AGE_UNSUPPORTED] = "unsupported",
		[AGE_HMAC] = "HMAC failure",
		[AGE_PAYLOAD] = "payload failure",
	};
	return names[failure];
}

/* A vector for a post-quantum identity must be refused, with the sentence where its file is fine.
 */
static bool refusal_is_right(
	const struct vector *vector, enum age_failure failure, const struct error *err)
{
	if (strcmp(vector->expect, "success") == 0)
		return failure == AGE_UNSUPPORTED ? strstr(err->message, "post-quantum") != NULL
						  : failure == AGE_NO_MATCH;
	return failure != AGE_OK;
}

/* A vector that is read in pieces, and what was made of it. */
struct pieces {
	const char *at, *end;
	struct buf out;
};

static ssize_t read_piece(void *data, void *out, size_t size, struct error *err)
{
	struct pieces *pieces = data;
	size_t left = (size_t)(pieces->end - pieces->at), most = 10007; /* no part of a chunk */
	(void)err;                                                      /* cannot fail */
	size = size < most ? size : most;
	size = size < left ? size : left;
	memcpy(out, pieces->at, size);
	pieces->at += size;
	return (ssize_t)size;
}

static bool write_piece(void *data, const void *bytes, size_t len, struct error *err)
{
	struct pieces *pieces = data;
	(void)err; /* cannot fail */
	buf_add(&pieces->out, bytes, len);
	return true;
}

/* What is read piece by piece ends as the whole does, with the same bytes. */
static bool flow_is_same(
	const struct vector *vector, enum age_failure failure, const struct buf *whole)
{
	struct pieces pieces = {vector->file, vector->file + vector->len, BUF_INIT(INFLATED_MAX)};
	const struct age_flow flow = {read_piece, write_piece, &pieces};
	enum age_failure got;
	struct error err;
	if (vector->armored)
		return true;
	bool ok = age_flow_decrypt(&vector->identities, &flow, &got, &err);
	bool same = got == failure && ok == (got == AGE_OK) && pieces.out.len == whole->len &&
		    memcmp(pieces.out.text, whole->text, whole->len) == 0;
	buf_clear(&pieces.out);
	return same;
}

static void check_vector(const char *name, const struct vector *vector, struct tally *tally)
{
	auto_buf struct buf out = BUF_INIT_SECRET(INFLATED_MAX);
	enum age_failure failure;
	struct error err = {.message = ""};
	char hash[65];
	const struct age_file file = {vector->file, vector->len, vector->armored};
	bool ok = age_decrypt(&file, &vector->identities, &out, &failure, &err);
	const char *got = failure_name(failure);
	if (!flow_is_same(vector, failure, &out)) {
		tally_add(tally, name, false, "ends otherwise when it is read in pieces");
		return;
	}
	if (vector->post_quantum) {
		tally_add(tally, name, refusal_is_right(vector, failure, &err),
			"post-quantum, got %s (%s)", got, err.message);
		return;
	}
	bool right = strcmp(got, vector->expect) == 0 && ok == (failure == AGE_OK);
	if (*vector->payload)
		right = right &&
			strcmp(fixture_sha256(out.text, out.len, hash), vector->payload) == 0;
	tally_add(tally, name, right, "want %s, got %s with %zu bytes (%s)", vector->expect, got,
		out.len, err.message);
}

static void decrypt_inflated(const char *name, struct vector *vector, struct tally *tally)
{
	auto_free char *inflated = NULL;
	if (vector->compressed) {
		inflated = inflate_all(vector->file, vector->len, &vector->len);
		vector->file = inflated;
	}
	check_vector(name, vector, tally);
}

static void run_vector(const char *folder, const char *name, struct tally *tally)
{
	CLEANUP(vector_clear) struct vector vector = {0};
	auto_free char *path = mem_printf("%s/%s", folder, name);
	auto_buf struct buf text = fixture_read(path);
	parse_vector(&text, &vector);
	if (vector.bad_identity)
		tally_add(tally, name, false, "its identity was not read");
	else
		decrypt_inflated(name, &vector, tally);
}

void age_vectors_run(const char *folder, struct tally *tally)
{
	struct dirent **names;
	int count = scandir(folder, &names, NULL, alphasort);
	for (int i = 0; i < count; i++) {
		if (names[i]->d_name[0] != '.')
			run_vector(folder, names[i]->d_name, tally);
		free(names[i]);
	}
	if (count >= 0)
		free(names);
}

/* U+E000 stands for NUL, see fixture_json(). */
static size_t restore_nul(char *text)
{
	size_t len = strlen(text);
	char *at;
	while ((at = memmem(text, len, "\xee\x80\x80", 3))) {
		*at = '\0';
		memmove(at + 1, at + 3, (size_t)(text + len - at) - 3);
		len -= 2;
	}
	return len;
}

static bool counts_are(const cJSON *item, const struct age_identities *identities)
{
	const char *const names[] = {"x25519", "post_quantum", "plugin"};
	const size_t counts[] = {identities->count, identities->post_quantum, identities->plugins};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const cJSON *want = cJSON_GetObjectItemCaseSensitive(item, names[i]);
		if (want && (size_t)want->valueint != counts[i])
			return false;
	}
	return true;
}

void age_identities_run(const char *path, struct tally *tally)
{
	cJSON *json = fixture_json(path);
	const cJSON *item;
	cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(json, "identities"))
	{
		auto_age_identities struct age_identities identities = AGE_IDENTITIES_INIT;
		struct error err = {.message = ""};
		auto_free char *text = mem_dup_str(fixture_text(item, "text"));
		size_t len = restore_nul(text);
		bool want = strcmp(fixture_text(item, "expect"), "ok") == 0;
		bool ok = age_identities_read(&identities, "case", text, len, &err);
		tally_add(tally, fixture_text(item, "name"),
			ok == want && (!ok || counts_are(item, &identities)), "want %s, got %s",
			want ? "ok" : "error", ok ? "other numbers" : err.message);
	}
	cJSON_Delete(json);
}
