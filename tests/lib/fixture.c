#include "tests/lib/fixture.h"
#include <sodium.h>
#include <unistd.h>

struct buf fixture_read(const char *path)
{
	struct buf text = BUF_INIT((size_t)64 << 20);
	char part[65536];
	size_t got;
	auto_file FILE *file = fopen(path, "rb");
	if (!file) {
		fprintf(stderr, "cannot read fixture %s\n", path);
		abort();
	}
	while ((got = fread(part, 1, sizeof(part), file)) > 0)
		buf_add(&text, part, got);
	return text;
}

char *fixture_shared(const char *name)
{
	const char *shared = getenv("AVIARY_SHARED");
	char *path = mem_printf("%s/fixtures/%s", shared ? shared : "../shared", name);
	if (access(path, R_OK) == 0)
		return path;
	printf("skipped: %s is absent (AVIARY_SHARED can name the folder that has it)\n", path);
	free(path);
	return NULL;
}

cJSON *fixture_json(const char *path)
{
	auto_buf struct buf text = fixture_read(path);
	char *nul;
	while ((nul = strstr(text.text, "\\u0000")))
		memcpy(nul, "\\ue000", 6);
	cJSON *json = cJSON_Parse(text.text);
	if (!json) {
		fprintf(stderr, "fixture %s is no JSON\n", path);
		abort();
	}
	return json;
}

const char *fixture_text(const cJSON *object, const char *name)
{
	const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, name);
	return cJSON_IsString(member) ? member->valuestring : "";
}

const char *fixture_sha256(const void *bytes, size_t len, char *hex)
{
	uint8_t hash[crypto_hash_sha256_BYTES];
	crypto_hash_sha256(hash, bytes, len);
	return sodium_bin2hex(hex, 65, hash, sizeof(hash));
}

bool tally_add(struct tally *tally, const char *name, bool ok, const char *format, ...)
{
	if (ok) {
		tally->passed++;
		return true;
	}
	tally->failed++;
	printf("FAILED %s: ", name);
	va_list args;
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	return false;
}

void tally_skip(struct tally *tally, const char *name, const char *why)
{
	tally->skipped++;
	printf("skipped %s: %s\n", name, why);
}

void tally_print(const struct tally *tally)
{
	printf("%u passed, %u failed, %u skipped\n", tally->passed, tally->failed, tally->skipped);
}
