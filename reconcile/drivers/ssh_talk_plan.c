#include "reconcile/drivers/ssh_talk_plan.h"
#include "base/ssh.h"
#include "base/tar.h"
#include <openssl/evp.h>

/* Lists and headers; contents are not copied. */
#define TEXT_MAX ((size_t)256 << 20)

static void add_part(struct talk_plan *plan, const void *bytes, size_t at, size_t len)
{
	if (!len)
		return;
	mem_grow(plan->parts, plan->count, plan->capacity);
	plan->parts[plan->count++] = (struct talk_part){bytes, at, len};
}

/* What was appended to the text since @p from. */
static void add_text(struct talk_plan *plan, size_t from)
{
	add_part(plan, NULL, from, plan->text.len - from);
}

void talk_plan_clear(struct talk_plan *plan)
{
	buf_clear(&plan->text);
	free(plan->parts);
	*plan = (struct talk_plan){.text = BUF_INIT_SECRET(TEXT_MAX)};
}

static bool add_sum(struct buf *text, const struct driver_file *file, struct error *err)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	if (!EVP_Digest(
		    file->bytes ? file->bytes : "", file->len, digest, &len, EVP_sha256(), NULL))
		return error_set(err, ERR_SYSTEM, "no digest of '%s'", file->path);
	for (unsigned i = 0; i < len; i++)
		buf_addf(text, "%02x", digest[i]);
	buf_addf(text, "  ./%s\n", file->path);
	return true;
}

bool talk_plan_sums(struct talk_plan *plan, const struct driver_release *release, struct error *err)
{
	for (size_t i = 0; release->files && i < release->count; i++) {
		if (!add_sum(&plan->text, &release->files[i], err))
			return false;
	}
	buf_add_str(&plan->text, ".\n");
	add_text(plan, 0);
	return true;
}

/* Folders of a file, each once. */
static void add_folders(const char *path, struct strlist *folders)
{
	for (const char *slash = path; (slash = strchr(slash, '/')); slash++) {
		auto_free char *folder = mem_dup(path, (size_t)(slash - path));
		if (!strlist_has(folders, folder))
			strlist_add(folders, folder);
	}
}

static void add_modes(struct buf *text, const struct driver_release *release)
{
	auto_strlist struct strlist folders = STRLIST_INIT;
	for (size_t i = 0; i < release->count; i++) {
		buf_addf(text, "%04o ./%s\n", release->files[i].mode, release->files[i].path);
		add_folders(release->files[i].path, &folders);
	}
	for (size_t i = 0; i < folders.count; i++)
		buf_addf(text, "0755 ./%s\n", folders.items[i]);
}

/* Not in the command: a packet of libssh2 has room for 34 KB, and `activate: compose` is long. */
static void add_words(struct buf *text, const char *const *argv)
{
	auto_buf struct buf words = BUF_INIT(TEXT_MAX);
	for (; argv && *argv; argv++) {
		buf_add_str(&words, words.len ? " " : "");
		ssh_quote(*argv, &words);
	}
	for (const char *line = words.text; *line;) {
		size_t len = strcspn(line, "\n");
		buf_addf(text, "=%.*s\n", (int)len, line);
		line += len + (line[len] == '\n');
	}
}

static void add_orders(
	struct buf *text, const struct driver_task *task, const bool *same, bool whole)
{
	const struct driver_release *release = task->release;
	buf_add_str(text, release->files ? "put\n" : "known\n");
	for (size_t i = 0; !whole && i < release->count; i++) {
		if (same[i])
			buf_addf(text, "./%s\n", release->files[i].path);
	}
	buf_add_str(text, ".\n");
	if (release->files)
		add_modes(text, release);
	buf_add_str(text, ".\n");
	for (size_t i = 0; i < task->keep_count; i++) {
		char name[DRIVER_SHORT + 1];
		struct error ignored; /* what is no digest names no folder */
		if (driver_release_folder(task->keep[i], name, &ignored))
			buf_addf(text, "%s\n", name);
	}
	buf_add_str(text, ".\n");
	add_words(text, task->host->activate);
	buf_add_str(text, ".\ngo\n");
}

static void add_file(struct talk_plan *plan, const struct driver_file *file)
{
	static const char zeros[TAR_BLOCK];
	size_t from = plan->text.len;
	auto_free char *path = mem_printf("./%s", file->path);
	/* its mode is set afterwards: until then nobody else reads it */
	tar_add_header(path, 0600, file->len, &plan->text);
	add_text(plan, from);
	add_part(plan, file->bytes, 0, file->len);
	add_part(plan, zeros, 0, tar_padding(file->len));
}

void talk_plan_put(
	struct talk_plan *plan, const struct driver_task *task, const bool *same, bool whole)
{
	const struct driver_release *release = task->release;
	size_t from = plan->text.len;
	add_orders(&plan->text, task, same, whole);
	add_text(plan, from);
	if (whole || !release->files)
		return;
	for (size_t i = 0; i < release->count; i++) {
		if (!same[i])
			add_file(plan, &release->files[i]);
	}
	from = plan->text.len;
	tar_add_end(&plan->text);
	add_text(plan, from);
}
