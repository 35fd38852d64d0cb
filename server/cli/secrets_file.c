/* `aviary secrets` decrypt, encrypt, set, unset, rotate, updatekeys */
#include "base/fs.h"
#include "server/cli/secrets.h"
#include <unistd.h>

/* ---- decrypt, encrypt ----------------------------------------------------------------------- */

static int run_decrypt(const struct secrets_options *options)
{
	auto_sops_file struct sops_file *file = NULL;
	auto_buf struct buf out = BUF_INIT_SECRET(2 * SECRETS_FILE_MAX);
	struct sops_printing printing;
	struct error err;
	int status = secrets_open(options, options->files[0], &file);
	if (status)
		return status;
	bool good =
		secrets_printing(options, sops_file_format(file), &printing, &err) &&
		(options->extract ? sops_file_extract(file, options->extract, &printing, &out, &err)
				  : sops_file_print(file, &printing, &out, &err));
	return good ? secrets_print(options, options->files[0], &out) : secrets_fail(SOPS_OK, &err);
}

const struct secrets_command secrets_decrypt = {
	.name = "decrypt",
	.summary = "print a file's plain text",
	.arguments = "FILE",
	.options = "kxioTUdfc",
	.text = "Prints what was encrypted, byte for byte as sops does, after checking that\n"
		"nobody changed it. FILE may be - for standard input.\n",
	.least = 1,
	.most = 1,
	.run = run_decrypt,
};

static const char *target_of(const struct secrets_options *options, const char *file)
{
	if (options->output)
		return options->output;
	return options->in_place ? file : NULL;
}

static int run_encrypt(const struct secrets_options *options)
{
	auto_secrets_input struct secrets_input input = SECRETS_INPUT_INIT;
	auto_sops_config struct sops_config *config = NULL;
	auto_sops_creation struct sops_creation creation = SOPS_CREATION_INIT;
	auto_sops_file struct sops_file *file = NULL;
	enum sops_failure failure = SOPS_OK;
	struct error err;
	if (!secrets_read(options, options->files[0], &input, &err) ||
		!secrets_config(options, &config, &err) ||
		!secrets_creation(options, config, options->files[0], &creation, &err))
		return secrets_fail(SOPS_OK, &err);
	const struct sops_source source = secrets_source(&input);
	if (!sops_file_new(&source, &creation, &file, &failure, &err))
		return secrets_fail(failure, &err);
	return secrets_save(options, target_of(options, options->files[0]), file);
}

const struct secrets_command secrets_encrypt = {
	.name = "encrypt",
	.summary = "encrypt a plain file",
	.arguments = "FILE",
	.options = "anioTUdfc2m",
	.text = "Encrypts for the recipients of the first rule of .sops.yaml that matches,\n"
		"or those of --age or SOPS_AGE_RECIPIENTS. Prints the file unless told\n"
		"where to write it. FILE may be - for standard input, best with\n"
		"--filename-override.\n",
	.least = 1,
	.most = 1,
	.run = run_encrypt,
};

/* ---- set, unset ----------------------------------------------------------------------------- */

static bool read_value(const struct secrets_options *options, struct buf *value, const char **why,
	struct error *err)
{
	bool given = options->file_count == 3;
	*why = NULL;
	if (options->value_stdin && options->value_file)
		*why = "--value-file and --value-stdin exclude each other";
	else if (given == options->value_stdin)
		*why = given ? "with --value-stdin no VALUE is given" : "VALUE is missing";
	if (*why)
		return true;
	if (options->value_stdin)
		return secrets_read_stdin(value, err);
	if (options->value_file)
		return fs_read(options->files[2], SECRETS_FILE_MAX, value, err);
	buf_add_str(value, options->files[2]);
	/* other processes see arguments; what they have not seen yet they need not see */
	explicit_bzero(options->files[2], strlen(options->files[2]));
	return true;
}

static int set_value(const struct secrets_options *options, const struct buf *value)
{
	auto_sops_file struct sops_file *file = NULL;
	const struct sops_text json = {value->text, value->len};
	bool changed = false;
	struct error err;
	int status = secrets_open(options, options->files[0], &file);
	if (status)
		return status;
	if (!sops_file_set(file, options->files[1], json, &changed, &err))
		return secrets_fail(SOPS_OK, &err);
	if (!changed && !options->output)
		return 0; /* the file says so already: nothing to write */
	return secrets_save(options, options->output ? options->output : options->files[0], file);
}

static int run_set(const struct secrets_options *options)
{
	auto_buf struct buf value = BUF_INIT_SECRET(SECRETS_FILE_MAX);
	const char *why;
	struct error err;
	if (!read_value(options, &value, &why, &err))
		return secrets_fail(SOPS_OK, &err);
	if (why) {
		secrets_note("%s", why);
		return 2;
	}
	return set_value(options, &value);
}

const struct secrets_command secrets_set = {
	.name = "set",
	.summary = "set one value",
	.arguments = "FILE '[\"a\"][\"b\"][0]' VALUE",
	.options = "kvsIoTUdfc",
	.text = "VALUE is JSON: '\"text\"', 42, '{\"a\": 1}'. Other processes can read\n"
		"arguments: give what is secret with --value-stdin or --value-file. All\n"
		"other values keep their encrypted text. If the value is there already the\n"
		"file stays as it is.\n",
	.least = 2,
	.most = 3,
	.run = run_set,
};

static int run_unset(const struct secrets_options *options)
{
	auto_sops_file struct sops_file *file = NULL;
	struct error err;
	int status = secrets_open(options, options->files[0], &file);
	if (status)
		return status;
	if (!sops_file_unset(file, options->files[1], &err))
		return options->idempotent && err.code == ERR_NOT_FOUND
			       ? 0
			       : secrets_fail(SOPS_OK, &err);
	return secrets_save(options, options->output ? options->output : options->files[0], file);
}

const struct secrets_command secrets_unset = {
	.name = "unset",
	.summary = "remove one value",
	.arguments = "FILE '[\"a\"][\"b\"][0]'",
	.options = "kIoTUdfc",
	.text = "Removes a key or an item of a list; all other values keep their encrypted\n"
		"text.\n",
	.least = 2,
	.most = 2,
	.run = run_unset,
};

/* ---- rotate, updatekeys --------------------------------------------------------------------- */

static int run_rotate(const struct secrets_options *options)
{
	auto_strlist struct strlist add = STRLIST_INIT, remove = STRLIST_INIT;
	auto_sops_file struct sops_file *file = NULL;
	struct error err;
	if (!secrets_split(&options->add_age, &add, &err) ||
		!secrets_split(&options->rm_age, &remove, &err))
		return secrets_fail(SOPS_OK, &err);
	int status = secrets_open(options, options->files[0], &file);
	if (status)
		return status;
	if (!sops_file_rotate(file, &add, &remove, &err))
		return secrets_fail(SOPS_OK, &err);
	return secrets_save(options, target_of(options, options->files[0]), file);
}

const struct secrets_command secrets_rotate = {
	.name = "rotate",
	.summary = "encrypt everything again with a new data key",
	.arguments = "FILE",
	.options = "kARioTUdfc",
	.text = "Makes a new data key for the file's recipients, plus and minus those\n"
		"given. Whoever is taken out still reads the old file in git: change the\n"
		"secrets themselves, too.\n",
	.least = 1,
	.most = 1,
	.run = run_rotate,
};

static void list_missing(
	const struct sops_creation *from, const struct sops_creation *in, const char *sign)
{
	for (size_t i = 0; i < from->group_count; i++)
		for (size_t k = 0; k < from->groups[i].count; k++)
			if (i >= in->group_count ||
				!strlist_has(&in->groups[i], from->groups[i].items[k]))
				fprintf(stderr, "  %s %s\n", sign, from->groups[i].items[k]);
}

/* Asked for by its name already: only a person at the terminal is asked again. */
static bool agrees(const struct secrets_options *options)
{
	char answer[16] = "";
	if (options->yes || !isatty(STDIN_FILENO))
		return true;
	fprintf(stderr, "Is this right? [y/n] ");
	return fgets(answer, sizeof(answer), stdin) && (*answer == 'y' || *answer == 'Y');
}

static int update_file(
	const struct secrets_options *options, const struct sops_config *config, const char *path)
{
	auto_sops_creation struct sops_creation creation = SOPS_CREATION_INIT;
	auto_sops_creation struct sops_creation before = SOPS_CREATION_INIT;
	auto_sops_file struct sops_file *file = NULL;
	unsigned threshold = 0;
	bool changed = false;
	struct error err;
	if (!secrets_rule(options, config, path, &creation, &err) ||
		!secrets_number(options->threshold, SOPS_MAX_GROUPS, &threshold, &err))
		return secrets_fail(SOPS_OK, &err);
	int status = secrets_open(options, path, &file);
	if (status)
		return status;
	for (size_t i = 0; i < sops_file_keys(file)->group_count; i++)
		strlist_copy(sops_creation_add_group(&before), &sops_file_keys(file)->groups[i]);
	if (!sops_file_update_keys(file, &creation, threshold, &changed, &err))
		return secrets_fail(SOPS_OK, &err);
	if (!changed) {
		secrets_note("'%s' is up to date", path);
		return 0;
	}
	fprintf(stderr, "%s\n", path);
	list_missing(&creation, &before, "+");
	list_missing(&before, &creation, "-");
	if (!agrees(options)) {
		secrets_note("'%s' stays as it is", path);
		return 1;
	}
	return secrets_save(options, path, file);
}

static int run_update_keys(const struct secrets_options *options)
{
	auto_sops_config struct sops_config *config = NULL;
	struct error err;
	int status = 0;
	if (!secrets_config(options, &config, &err))
		return secrets_fail(SOPS_OK, &err);
	if (!config) {
		secrets_note("there is no %s here or in a folder above", SOPS_CONFIG_NAME);
		return 1;
	}
	for (size_t i = 0; i < options->file_count; i++) {
		int one = update_file(options, config, options->files[i]);
		status = one ? one : status;
	}
	return status;
}

const struct secrets_command secrets_update_keys = {
	.name = "updatekeys",
	.summary = "wrap the data key for the recipients of .sops.yaml",
	.arguments = "FILE ...",
	.options = "kyncfTUd",
	.text = "Adds and removes recipients; the data key stays the same, so this takes\n"
		"nothing away from whoever could read the file before: that takes `rotate`,\n"
		"and new secrets.\n",
	.least = 1,
	.most = SIZE_MAX,
	.run = run_update_keys,
};
