/* What the subcommands of `aviary secrets` read and write: files, keys, rules, messages */
#include "base/fs.h"
#include "reconcile/secrets/age.h"
#include "reconcile/secrets/secret.h"
#include "server/cli/key_command.h"
#include "server/cli/passphrase.h"
#include "server/cli/secrets.h"
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- messages ------------------------------------------------------------------------------- */

static void print_line(const char *text)
{
	auto_buf struct buf line = BUF_INIT_SECRET(8192), clean = BUF_INIT_SECRET(8192);
	buf_add_str(&line, text);
	secret_mask(&line); /* no message holds a value; this is the second lock on that door */
	buf_add_clean(&clean, line.text, line.len);
	fprintf(stderr, "aviary: %s\n", clean.text);
}

void secrets_note(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	auto_free char *text = mem_vprintf(format, args);
	va_end(args);
	print_line(text);
}

int secrets_fail(enum sops_failure failure, const struct error *err)
{
	char line[sizeof(*err)];
	print_line(error_line(err, line, sizeof(line)));
	return failure == SOPS_OK ? 1 : sops_failure_exit(failure);
}

/* ---- input ---------------------------------------------------------------------------------- */

static bool is_stdin(const char *file)
{
	return !strcmp(file, "-") || !strcmp(file, "/dev/stdin");
}

bool secrets_read_stdin(struct buf *out, struct error *err)
{
	char bytes[16384];
	ssize_t got;
	while ((got = read(STDIN_FILENO, bytes, sizeof(bytes))) != 0 && !buf_overflowed(out)) {
		if (got < 0 && errno != EINTR)
			break;
		buf_add(out, bytes, got > 0 ? (size_t)got : 0);
	}
	explicit_bzero(bytes, sizeof(bytes));
	if (got < 0)
		return error_errno(err, errno, "cannot read standard input");
	return !buf_overflowed(out) || error_set(err, ERR_INVALID, "standard input is too large");
}

void secrets_input_clear(struct secrets_input *input)
{
	buf_clear(&input->text);
}

static bool read_type(const char *name, enum sops_format *format, struct error *err)
{
	if (!name || sops_format_by_name(name, format))
		return true;
	error_set(err, ERR_INVALID, "there is no format '%s'", name);
	return error_hint(err, "yaml, json, dotenv, ini or binary");
}

bool secrets_read(const struct secrets_options *options, const char *file,
	struct secrets_input *input, struct error *err)
{
	const char *name = options->filename_override ? options->filename_override : file;
	input->name = file;
	input->format = sops_format_of(name);
	if (!read_type(options->input_type, &input->format, err))
		return false;
	if (is_stdin(file))
		return secrets_read_stdin(&input->text, err);
	return fs_read(file, SECRETS_FILE_MAX, &input->text, err);
}

struct sops_source secrets_source(const struct secrets_input *input)
{
	return (struct sops_source){input->format, input->name, input->text.text, input->text.len};
}

/* ---- keys ----------------------------------------------------------------------------------- */

/* As age and sops we take such a file; unlike them we say so. */
static void warn_about(const char *path)
{
	struct stat info;
	if (path && *path && !stat(path, &info) && (info.st_mode & 077))
		secrets_note("key file '%s' can be read by others: chmod 600 it", path);
}

/* Programs that print keys, and what they printed. */
#define KEY_COMMANDS 2
static const char *const key_commands[KEY_COMMANDS] = {
	"SOPS_AGE_KEY_CMD", "SOPS_AGE_SSH_PRIVATE_KEY_CMD"};

static bool load_keys(const struct secrets_options *options, struct keyring **keyring_out,
	struct strlist *notes, struct error *err)
{
	const struct age_ask ask = {.ask = passphrase_ask};
	auto_buf struct buf key = BUF_INIT_SECRET(AGE_MAX_KEY_FILE);
	auto_buf struct buf ssh = BUF_INIT_SECRET(AGE_MAX_KEY_FILE);
	struct buf *const printed[KEY_COMMANDS] = {&key, &ssh};
	struct age_source more[KEY_COMMANDS];
	struct keyring_sources sources = {
		.age_key_file = options->age_key_file,
		.personal = true,
		.others_may_read = true,
		.more = more,
		.ask = passphrase_possible() ? &ask : NULL,
	};
	warn_about(options->age_key_file);
	warn_about(getenv("SOPS_AGE_KEY_FILE"));
	warn_about(getenv("SOPS_AGE_SSH_PRIVATE_KEY_FILE"));
	for (size_t i = 0; i < KEY_COMMANDS; i++) {
		if (!key_command_run(key_commands[i], printed[i], err))
			return false;
		if (printed[i]->len)
			more[sources.more_count++] = (struct age_source){
				key_commands[i], printed[i]->text, printed[i]->len, sources.ask};
	}
	return keyring_load_sources(&sources, keyring_out, notes, err);
}

bool secrets_keys(
	const struct secrets_options *options, struct keyring **keyring_out, struct error *err)
{
	auto_strlist struct strlist notes = STRLIST_INIT;
	if (!load_keys(options, keyring_out, &notes, err))
		return false;
	for (size_t i = 0; i < notes.count; i++)
		secrets_note("%s", notes.items[i]);
	return true;
}

int secrets_open(
	const struct secrets_options *options, const char *file, struct sops_file **file_out)
{
	auto_secrets_input struct secrets_input input = SECRETS_INPUT_INIT;
	auto_keyring struct keyring *keyring = NULL;
	auto_strlist struct strlist notes = STRLIST_INIT;
	enum sops_failure failure = SOPS_OK;
	struct error err;
	if (!secrets_read(options, file, &input, &err) ||
		!load_keys(options, &keyring, &notes, &err))
		return secrets_fail(SOPS_OK, &err);
	const struct sops_source source = secrets_source(&input);
	if (sops_file_open(&source, keyring, file_out, &failure, &err))
		return 0;
	for (size_t i = 0; i < notes.count; i++)
		secrets_note("%s", notes.items[i]); /* why a key was not tried */
	return secrets_fail(failure, &err);
}

/* ---- rules ---------------------------------------------------------------------------------- */

bool secrets_config(
	const struct secrets_options *options, struct sops_config **config_out, struct error *err)
{
	const char *named = options->config ? options->config : getenv("SOPS_CONFIG");
	if (named && *named)
		return sops_config_load(named, config_out, err);
	auto_free char *here = getcwd(NULL, 0);
	if (!here)
		return error_errno(err, errno, "cannot tell the working folder");
	auto_free char *path = sops_config_find(here, NULL);
	return !path || sops_config_load(path, config_out, err);
}

/* "a/./b/../c" is "a/c", as sops sees it before it asks its rules. */
static char *absolute_path(const char *file)
{
	auto_free char *here = *file == '/' ? mem_dup_str("") : getcwd(NULL, 0);
	auto_free char *path = mem_printf("%s/%s", here ? here : "", file);
	auto_buf struct buf out = BUF_INIT(1 << 16);
	for (const char *at = path; *at;) {
		at += strspn(at, "/");
		size_t len = strcspn(at, "/");
		if (len == 2 && !strncmp(at, "..", 2)) {
			while (out.len && out.text[out.len - 1] != '/')
				buf_truncate(&out, out.len - 1);
			buf_truncate(&out, out.len ? out.len - 1 : 0);
		} else if (len && !(len == 1 && *at == '.')) {
			buf_addf(&out, "/%.*s", (int)len, at);
		}
		at += len;
	}
	return buf_steal(&out);
}

static bool take_rule_options(
	const struct secrets_options *options, struct sops_creation *creation, struct error *err)
{
	enum sops_rule found = SOPS_RULE_NONE;
	for (int rule = 0; rule < SOPS_RULES; rule++) {
		if (!options->rules[rule])
			continue;
		if (found != SOPS_RULE_NONE)
			return error_set(err, ERR_INVALID,
				"--%s and --%s: only one rule can say what is encrypted",
				sops_rule_name(found), sops_rule_name((enum sops_rule)rule));
		found = (enum sops_rule)rule;
		free(creation->rule_text);
		creation->rule_text = mem_dup_str(options->rules[rule]);
		creation->rule = found;
	}
	if (options->mac_only_encrypted)
		creation->mac_only_encrypted = true;
	return true;
}

bool secrets_number(const char *text, unsigned long max, unsigned *number_out, struct error *err)
{
	char *end;
	unsigned long number = text ? strtoul(text, &end, 10) : 0;
	if (text && (*text < '0' || *text > '9' || *end || number > max))
		return error_set(err, ERR_INVALID, "'%s' is no number from 0 to %lu", text, max);
	*number_out = text ? (unsigned)number : *number_out;
	return true;
}

static bool take_recipients(
	const struct secrets_options *options, struct sops_creation *creation, struct error *err)
{
	const char *environment = getenv("SOPS_AGE_RECIPIENTS");
	auto_buf struct buf text = BUF_INIT(1 << 20);
	for (size_t i = 0; i < options->age.count; i++)
		buf_addf(&text, "%s%s", i ? "," : "", options->age.items[i]);
	if (!options->age.count && environment)
		buf_add_str(&text, environment);
	if (!text.len)
		return true;
	while (creation->group_count) /* they take the place of the rule's */
		strlist_clear(&creation->groups[--creation->group_count]);
	creation->shamir_threshold = 0;
	return sops_creation_add_text(creation, text.text, err);
}

bool secrets_rule(const struct secrets_options *options, const struct sops_config *config,
	const char *file, struct sops_creation *creation_out, struct error *err)
{
	auto_free char *path =
		absolute_path(options->filename_override ? options->filename_override : file);
	return sops_config_rule(config, path, creation_out, err);
}

bool secrets_creation(const struct secrets_options *options, const struct sops_config *config,
	const char *file, struct sops_creation *creation_out, struct error *err)
{
	const char *environment = getenv("SOPS_AGE_RECIPIENTS");
	bool named = options->age.count || (environment && *environment);
	if (config && !secrets_rule(options, config, file, creation_out, err) &&
		!(named && err->code == ERR_NOT_FOUND))
		return false;
	if (!config && !named) {
		error_set(err, ERR_INVALID, "there is no %s and no recipient", SOPS_CONFIG_NAME);
		return error_hint(err, "give --age RECIPIENTS, or write creation_rules");
	}
	return take_recipients(options, creation_out, err) &&
	       take_rule_options(options, creation_out, err) &&
	       secrets_number(
		       options->threshold, SOPS_MAX_GROUPS, &creation_out->shamir_threshold, err);
}

bool secrets_printing(const struct secrets_options *options, enum sops_format format,
	struct sops_printing *printing_out, struct error *err)
{
	auto_sops_config struct sops_config *config = NULL;
	struct sops_printing printing = {.format = format};
	if (!secrets_config(options, &config, err))
		return false;
	if (config)
		printing.layout = sops_config_layout(config);
	if (!read_type(options->output_type, &printing.format, err))
		return false;
	if (options->indent) {
		unsigned indent = 0;
		if (!secrets_number(options->indent, 32, &indent, err))
			return false;
		printing.layout.yaml_indent = indent;
		printing.layout.json_indent = indent ? indent : SOPS_INDENT_NONE;
		printing.layout.binary_indent = printing.layout.json_indent;
	}
	*printing_out = printing;
	return true;
}

bool secrets_split(const struct strlist *texts, struct strlist *recipients_out, struct error *err)
{
	for (size_t i = 0; i < texts->count; i++)
		if (!sops_recipients_split(texts->items[i], recipients_out, err))
			return false;
	return true;
}

/* ---- output --------------------------------------------------------------------------------- */

static bool write_stdout(const struct buf *text, struct error *err)
{
	size_t done = 0;
	while (done < text->len) { /* not by stdio: its buffers are not wiped */
		ssize_t wrote = write(STDOUT_FILENO, text->text + done, text->len - done);
		if (wrote < 0 && errno != EINTR)
			return error_errno(err, errno, "cannot write to standard output");
		done += wrote > 0 ? (size_t)wrote : 0;
	}
	return true;
}

/* Renaming over a symlink would replace it: the file it points to is meant. */
static char *real_path(const char *path)
{
	char *real = realpath(path, NULL);
	return real ? real : mem_dup_str(path);
}

int secrets_print(const struct secrets_options *options, const char *file, const struct buf *text)
{
	const char *path = options->output ? options->output : options->in_place ? file : NULL;
	auto_free char *real = path ? real_path(path) : NULL;
	struct error err;
	bool good = !buf_overflowed(text) ||
		    error_set(&err, ERR_INVALID, "the text is larger than expected");
	good = good && (real ? fs_write(real, text->text, text->len, 0600, &err)
			     : write_stdout(text, &err));
	return good ? 0 : secrets_fail(SOPS_OK, &err);
}

int secrets_save(const struct secrets_options *options, const char *path, struct sops_file *file)
{
	auto_buf struct buf text = BUF_INIT(2 * SECRETS_FILE_MAX);
	auto_free char *real = path ? real_path(path) : NULL;
	struct sops_printing printing;
	struct error err;
	if (!secrets_printing(options, sops_file_format(file), &printing, &err))
		return secrets_fail(SOPS_OK, &err);
	bool good =
		real ? sops_file_save(file, real, &printing, &err)
		     : sops_file_write(file, &printing, &text, &err) && write_stdout(&text, &err);
	return good ? 0 : secrets_fail(SOPS_OK, &err);
}
