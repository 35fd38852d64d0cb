/* `aviary secrets keygen` and `recipients` */
#include "base/clock.h"
#include "base/fs.h"
#include "reconcile/secrets/age.h"
#include "server/cli/secrets.h"
#include <fcntl.h>

#define KEYS_MAX ((size_t)1 << 20)

static int print_text(const struct buf *text)
{
	const struct secrets_options nowhere = {0};
	return secrets_print(&nowhere, NULL, text);
}

/* ---- keygen --------------------------------------------------------------------------------- */

static void add_lines(struct buf *out, const struct strlist *lines)
{
	for (size_t i = 0; i < lines->count; i++)
		buf_addf(out, "%s\n", lines->items[i]);
}

/* keygen -y: the public keys of a key file. */
static int convert(const struct secrets_options *options)
{
	auto_secrets_input struct secrets_input input = SECRETS_INPUT_INIT;
	auto_keyring struct keyring *keyring = NULL;
	auto_strlist struct strlist recipients = STRLIST_INIT;
	auto_buf struct buf out = BUF_INIT(KEYS_MAX);
	const char *file = options->file_count ? options->files[0] : "-";
	struct error err;
	if (!secrets_read(options, file, &input, &err) ||
		!keyring_read(file, input.text.text, input.text.len, &keyring, &err))
		return secrets_fail(SOPS_OK, &err);
	keyring_recipients(keyring, &recipients);
	add_lines(&out, &recipients);
	return print_text(&out);
}

/* A key file that is overwritten is a key that is lost. */
static bool write_new(const char *path, const struct buf *text, struct error *err)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	auto_free char *folder = mem_printf("./%.*s", slash ? (int)(slash - path + 1) : 0, path);
	auto_fd int fd =
		open(*path == '/' ? folder + 2 : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct fs_content empty = {"", 0, 0600}, content = {text->text, text->len, 0600};
	if (fd < 0)
		return error_set(err, ERR_NOT_FOUND, "there is no folder for '%s'", path);
	return fs_create_at(fd, name, &empty, err) && fs_write_at(fd, name, &content, err);
}

static int run_keygen(const struct secrets_options *options)
{
	if (options->yes)
		return convert(options);
	auto_keyring struct keyring *keyring = keyring_generate();
	auto_strlist struct strlist recipients = STRLIST_INIT;
	auto_buf struct buf text = BUF_INIT_SECRET(KEYS_MAX);
	char now[CLOCK_TEXT_SIZE];
	struct error err;
	if (options->file_count) {
		secrets_note("keygen takes a file with -y only; --output names the new file");
		return 2;
	}
	buf_addf(&text, "# created: %s\n", clock_format(clock_wall_s(), now));
	keyring_write(keyring, &text);
	keyring_recipients(keyring, &recipients);
	if (!options->output)
		return print_text(&text);
	if (!write_new(options->output, &text, &err))
		return secrets_fail(SOPS_OK, &err);
	fprintf(stderr, "Public key: %s\n", recipients.items[0]);
	return 0;
}

const struct secrets_command secrets_keygen = {
	.name = "keygen",
	.summary = "make an age key",
	.arguments = "[-o FILE] | -y [FILE]",
	.options = "oy",
	.text = "Prints a new age key, or writes it into a new FILE that only you can read,\n"
		"and tells its public key. With -y it prints the public keys of a key file.\n",
	.most = 1,
	.run = run_keygen,
};

/* ---- recipients ----------------------------------------------------------------------------- */

static bool read_recipients(const struct secrets_options *options, const char *file,
	struct strlist *out, enum sops_failure *failure_out, struct error *err)
{
	auto_secrets_input struct secrets_input input = SECRETS_INPUT_INIT;
	*failure_out = SOPS_OK;
	return secrets_read(options, file, &input, err) &&
	       sops_recipients(file, input.text.text, input.text.len, out, err);
}

static void add_json(struct buf *out, const char *file, const struct strlist *recipients)
{
	buf_add_str(out, "{\"file\": \"");
	buf_add_json(out, file, strlen(file));
	buf_add_str(out, "\", \"recipients\": [");
	for (size_t i = 0; i < recipients->count; i++) {
		buf_add_str(out, i ? ", \"" : "\"");
		buf_add_json(out, recipients->items[i], strlen(recipients->items[i]));
		buf_add_char(out, '"');
	}
	buf_add_str(out, "]}");
}

static void add_plain(struct buf *out, const char *file, const struct strlist *recipients)
{
	for (size_t i = 0; i < recipients->count; i++) {
		if (file)
			buf_addf(out, "%s: ", file);
		buf_add_clean(out, recipients->items[i], strlen(recipients->items[i]));
		buf_add_char(out, '\n');
	}
}

/* Without a file: whom we are for others. */
static int print_own(const struct secrets_options *options)
{
	auto_keyring struct keyring *keyring = NULL;
	auto_strlist struct strlist recipients = STRLIST_INIT;
	auto_buf struct buf out = BUF_INIT(KEYS_MAX);
	struct error err;
	if (!secrets_keys(options, &keyring, &err))
		return secrets_fail(SOPS_OK, &err);
	keyring_recipients(keyring, &recipients);
	if (!recipients.count) {
		secrets_note("there is no key: `aviary secrets keygen` makes one");
		return sops_failure_exit(SOPS_NO_KEY);
	}
	if (options->json)
		add_json(&out, "", &recipients);
	else
		add_plain(&out, NULL, &recipients);
	buf_add_str(&out, options->json ? "\n" : "");
	return print_text(&out);
}

static int run_recipients(const struct secrets_options *options)
{
	auto_buf struct buf out = BUF_INIT(64 * KEYS_MAX);
	int status = 0;
	if (!options->file_count)
		return print_own(options);
	buf_add_str(&out, options->json ? "[" : "");
	for (size_t i = 0; i < options->file_count; i++) {
		auto_strlist struct strlist recipients = STRLIST_INIT;
		const char *file = options->files[i];
		enum sops_failure failure;
		struct error err;
		if (!read_recipients(options, file, &recipients, &failure, &err)) {
			status = secrets_fail(failure, &err);
			continue;
		}
		if (options->json)
			buf_add_str(&out, out.len > 1 ? ", " : "");
		if (options->json)
			add_json(&out, file, &recipients);
		else
			add_plain(&out, options->file_count > 1 ? file : NULL, &recipients);
	}
	buf_add_str(&out, options->json ? "]\n" : "");
	int written = print_text(&out);
	return written ? written : status;
}

const struct secrets_command secrets_recipients = {
	.name = "recipients",
	.summary = "show for whom files are encrypted",
	.arguments = "[FILE ...] [--json]",
	.options = "kj",
	.text = "Prints the age recipients of each file. Needs no key. Without a file it\n"
		"prints the recipients that your own keys are.\n",
	.most = SIZE_MAX,
	.run = run_recipients,
};
