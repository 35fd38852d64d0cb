#include "base/buf.h"
#include "reconcile/release_parts.h"
#include <openssl/sha.h>

#define DIGEST_VERSION "aviary release 1\n"
/* All files of a release, each at most 4 MiB once rendered, with room for what is around them. */
#define DIGEST_TEXT_MAX ((size_t)256 << 20)

void release_digest_text(const struct buf *text, char digest_out[DIGEST_TEXT])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char hash[SHA256_DIGEST_LENGTH];
	char *out = digest_out + 7;
	memcpy(digest_out, "sha256:", 8);
	SHA256((const unsigned char *)text->text, text->len, hash);
	for (size_t i = 0; i < sizeof(hash); i++) {
		*out++ = digits[hash[i] >> 4];
		*out++ = digits[hash[i] & 15];
	}
	*out = '\0';
}

static int compare_inputs(const void *a, const void *b)
{
	const struct release_input *left = a, *right = b;
	int order = (left->kind > right->kind) - (left->kind < right->kind);
	return order ? order : strcmp(left->name, right->name);
}

void release_sort_inputs(struct release *release)
{
	if (release->input_count > 1)
		qsort(release->inputs, release->input_count, sizeof(*release->inputs),
			compare_inputs);
}

void release_make_digest(const struct release *release, char digest_out[DIGEST_TEXT])
{
	auto_buf struct buf text = BUF_INIT(DIGEST_TEXT_MAX);
	buf_add_str(&text, DIGEST_VERSION);
	for (size_t i = 0; i < release->file_count; i++) {
		const struct release_file *file = &release->files[i];
		buf_addf(&text, "file %s %04o %zu\n", file->path, file->mode, file->shape_len);
		buf_add(&text, file->shape, file->shape_len);
		buf_add_char(&text, '\n');
	}
	for (size_t i = 0; i < release->input_count; i++) {
		const struct release_input *input = &release->inputs[i];
		if (input->kind != INPUT_FILE)
			buf_addf(&text, "%s %s %s\n",
				input->kind == INPUT_SECRET ? "secret" : "variable", input->name,
				input->value);
	}
	if (buf_overflowed(&text))
		mem_abort(DIGEST_TEXT_MAX); /* never half a digest; rendering is bounded below */
	release_digest_text(&text, digest_out);
}
