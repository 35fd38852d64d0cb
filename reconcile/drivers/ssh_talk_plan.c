#include "reconcile/drivers/ssh_talk_plan.h"
#include "base/ssh.h"
#include "base/tar.h"
#include <openssl/evp.h>

/* Lists and headers; contents are not copied. */
#define TEXT_MAX    ((size_t)256 << 20)
#define STANDARD_MS (10 * 60 * 1000)

extern const char embedded_host_sh[];

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

/* Files of the archive bring their own. */
static void add_modes(
	struct buf *text, const struct driver_release *release, const bool *same, bool whole)
{
	auto_strlist struct strlist folders = STRLIST_INIT;
	for (size_t i = 0; i < release->count; i++) {
		if (whole || same[i])
			buf_addf(text, "%04o ./%s\n", release->files[i].mode,
				release->files[i].path);
		add_folders(release->files[i].path, &folders);
	}
	for (size_t i = 0; i < folders.count; i++)
		buf_addf(text, "0755 ./%s\n", folders.items[i]);
}

static void quote_all(const char *const *argv, struct buf *out)
{
	for (; argv && *argv; argv++) {
		buf_add_str(out, out->len ? " " : "");
		ssh_quote(*argv, out);
	}
}

void talk_plan_step(const struct driver_step *step, struct buf *out)
{
	buf_addf(out, "%lld ", (long long)((step->timeout_ms + 999) / 1000));
	ssh_quote(step->name, out);
	buf_add_char(out, ' ');
	ssh_quote(step->backup ? step->backup : "", out);
	quote_all(step->argv, out);
}

void talk_plan_go(struct talk_plan *plan)
{
	size_t from = plan->text.len;
	buf_add_str(&plan->text, "go\n");
	add_text(plan, from);
}

/* Not in the command: a packet of libssh2 has room for 34 KB, and `activate: compose` is long. */
static void add_words(struct buf *text, const struct buf *words)
{
	for (const char *line = words->text; *line;) {
		size_t len = strcspn(line, "\n");
		buf_addf(text, "=%.*s\n", (int)len, line);
		line += len + (line[len] == '\n');
	}
}

static void add_orders(
	struct buf *text, const struct driver_task *task, const bool *same, bool whole)
{
	const struct driver_release *release = task->release;
	auto_buf struct buf words = BUF_INIT(TEXT_MAX);
	buf_add_str(text, release->files ? "put\n" : "known\n");
	for (size_t i = 0; !whole && i < release->count; i++) {
		if (same[i])
			buf_addf(text, "./%s\n", release->files[i].path);
	}
	buf_add_str(text, ".\n");
	if (release->files)
		add_modes(text, release, same, whole);
	buf_add_str(text, ".\n");
	for (size_t i = 0; i < task->keep_count; i++) {
		char name[DRIVER_SHORT + 1];
		struct error ignored; /* what is no digest names no folder */
		if (driver_release_folder(task->keep[i], name, &ignored))
			buf_addf(text, "%s\n", name);
	}
	buf_add_str(text, ".\n");
	quote_all(task->host->activate, &words);
	add_words(text, &words);
	buf_add_str(text, ".\n");
	buf_truncate(&words, 0);
	if (release->restore)
		talk_plan_step(release->restore, &words);
	add_words(text, &words);
	buf_add_str(text, ".\ngo\n");
}

static void add_file(struct talk_plan *plan, const struct driver_file *file)
{
	static const char zeros[TAR_BLOCK];
	size_t from = plan->text.len;
	auto_free char *path = mem_printf("./%s", file->path);
	/* nobody else reads it until then: the folder is opened when all is there */
	tar_add_header(path, file->mode, file->len, &plan->text);
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

/* ---- the command ---------------------------------------------------------------------------- */

static void add_word(struct buf *out, const char *word)
{
	buf_add_char(out, ' ');
	ssh_quote(word, out);
}

int64_t talk_timeout_ms(const struct driver_task *task)
{
	int64_t wanted = task->work == DRIVER_COMMAND ? task->timeout_ms
			 : task->work == DRIVER_STEP  ? task->step->timeout_ms
						      : task->host->activate_timeout_ms;
	return wanted ? wanted : STANDARD_MS;
}

/* Whole seconds are what every `timeout` takes. */
static void add_seconds(const struct driver_task *task, struct buf *out)
{
	buf_addf(out, " %lld", (long long)((talk_timeout_ms(task) + 999) / 1000));
}

/* What is no digest is on no host. */
static void add_release(struct buf *out, const char *digest)
{
	char name[DRIVER_SHORT + 1];
	struct error ignored;
	bool fine = digest && driver_release_folder(digest, name, &ignored);
	add_word(out, fine ? name : "");
}

static void add_facts(const struct driver_task *task, struct buf *out)
{
	const struct driver_host *host = task->host;
	const struct driver_release *release = task->release;
	const char *const words[] = {host->client, release->digest, release->commit,
		release->rollout, release->stage, release->action};
	add_release(out, release->digest);
	add_seconds(task, out);
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		add_word(out, words[i]);
	buf_addf(out, " %lld ", (long long)release->epoch);
}

void talk_plan_command(const struct driver_task *task, const char *nonce, struct buf *out)
{
	static const char *const verbs[] = {[DRIVER_ASK] = "ask",
		[DRIVER_ACTIVATE] = "put",
		[DRIVER_COMPARE] = "compare",
		[DRIVER_STEP] = "step",
		[DRIVER_COMMAND] = "run"};

	buf_addf(out, "exec %ssh -c ", task->host->sudo ? "sudo -n " : "");
	ssh_quote(embedded_host_sh, out);
	buf_addf(out, " aviary %s %s", nonce, verbs[task->work]);
	add_word(out, task->host->root);
	switch (task->work) {
	case DRIVER_ASK:
		add_release(out, task->digest);
		buf_addf(out, " %lld", (long long)task->epoch);
		break;
	case DRIVER_ACTIVATE:
		add_facts(task, out);
		buf_addf(out, "%lld", (long long)task->host->keep);
		break;
	case DRIVER_COMPARE:
		add_release(out, task->release->digest);
		break;
	case DRIVER_STEP:
		add_facts(task, out);
		talk_plan_step(task->step, out);
		break;
	case DRIVER_COMMAND:
		add_seconds(task, out);
		for (const char *const *word = task->argv; *word; word++)
			add_word(out, *word);
		break;
	}
}
