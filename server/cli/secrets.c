/* server/cli/secrets.c - `aviary secrets`: SOPS files with age keys, as sops has them */
#include "server/cli/secrets.h"
#include "server/cli/command.h"
#include "server/service.h"

#include <getopt.h>

const struct secrets_command *const secrets_commands[] = {
	&secrets_decrypt,
	&secrets_encrypt,
	&secrets_edit,
	&secrets_set,
	&secrets_unset,
	&secrets_rotate,
	&secrets_update_keys,
	&secrets_keygen,
	&secrets_recipients,
	&secrets_check,
	&secrets_isolation,
	NULL,
};

enum { RULE_FIRST = '1' }; /* + enum sops_rule */

static const struct option long_options[] = {
	{"age-key-file", required_argument, NULL, 'k'},
	{"input-type", required_argument, NULL, 'T'},
	{"output-type", required_argument, NULL, 'U'},
	{"extract", required_argument, NULL, 'x'},
	{"in-place", no_argument, NULL, 'i'},
	{"output", required_argument, NULL, 'o'},
	{"config", required_argument, NULL, 'c'},
	{"filename-override", required_argument, NULL, 'f'},
	{"indent", required_argument, NULL, 'd'},
	{"age", required_argument, NULL, 'a'},
	{"add-age", required_argument, NULL, 'A'},
	{"rm-age", required_argument, NULL, 'R'},
	{"shamir-secret-sharing-threshold", required_argument, NULL, 'n'},
	{"unencrypted-suffix", required_argument, NULL, RULE_FIRST + SOPS_UNENCRYPTED_SUFFIX},
	{"encrypted-suffix", required_argument, NULL, RULE_FIRST + SOPS_ENCRYPTED_SUFFIX},
	{"unencrypted-regex", required_argument, NULL, RULE_FIRST + SOPS_UNENCRYPTED_REGEX},
	{"encrypted-regex", required_argument, NULL, RULE_FIRST + SOPS_ENCRYPTED_REGEX},
	{"unencrypted-comment-regex", required_argument, NULL,
		RULE_FIRST + SOPS_UNENCRYPTED_COMMENT_REGEX},
	{"encrypted-comment-regex", required_argument, NULL,
		RULE_FIRST + SOPS_ENCRYPTED_COMMENT_REGEX},
	{"mac-only-encrypted", no_argument, NULL, 'm'},
	{"value-file", no_argument, NULL, 'v'},
	{"value-stdin", no_argument, NULL, 's'},
	{"idempotent", no_argument, NULL, 'I'},
	{"commit", required_argument, NULL, 'C'},
	{"yes", no_argument, NULL, 'y'},
	{"json", no_argument, NULL, 'j'},
	{"help", no_argument, NULL, 'H'},
	{NULL, 0, NULL, 0},
};

/* What each means, in the order of the usage. */
static const struct {
	char letter;
	const char *text;
} option_texts[] = {
	{'k', "--age-key-file FILE       keys, beside those that are found"},
	{'a', "-a, --age RECIPIENTS      for these, with commas between"},
	{'A', "--add-age RECIPIENTS      add these to the first key group"},
	{'R', "--rm-age RECIPIENTS       take these out of all key groups"},
	{'n', "--shamir-secret-sharing-threshold N\n"
	      "                            key groups that are needed"},
	{'x', "--extract '[\"a\"][\"b\"][0]' only this value"},
	{'i', "-i, --in-place            write into the file itself"},
	{'o', "--output FILE             write into this file"},
	{'T', "--input-type TYPE         yaml, json, dotenv, ini or binary"},
	{'U', "--output-type TYPE        the same for what is written"},
	{'d', "--indent N                blanks"},
	{'f', "--filename-override NAME  rule and type are those of this name"},
	{'c', "--config FILE             instead of .sops.yaml here or in a folder above"},
	{'2', "--encrypted-regex R       which values are encrypted: those whose path matches;\n"
	      "                            likewise --unencrypted-regex, --encrypted-suffix,\n"
	      "                            --unencrypted-suffix, --encrypted-comment-regex,\n"
	      "                            --unencrypted-comment-regex; one of them"},
	{'m', "--mac-only-encrypted      plain values may be changed by anybody"},
	{'v', "--value-file              VALUE names a file that holds it"},
	{'s', "--value-stdin             the value is on standard input, as JSON"},
	{'I', "--idempotent              fine if it is so already"},
	{'C', "--commit REV              this commit instead of the folder as it lies"},
	{'y', "-y, --yes                 do not ask"},
	{'j', "--json                    for programs"},
};

static const char usage[] =
	"usage: aviary secrets COMMAND [ARGUMENTS]\n"
	"\n"
	"  decrypt     print a file's plain text\n"
	"  encrypt     encrypt a plain file\n"
	"  edit        edit a file's plain text in $EDITOR\n"
	"  set         set one value\n"
	"  unset       remove one value\n"
	"  rotate      encrypt everything again with a new data key\n"
	"  updatekeys  wrap the data key for the recipients of .sops.yaml\n"
	"  keygen      make an age key\n"
	"  recipients  show for whom files are encrypted\n"
	"  check       look at all secrets of a repository\n"
	"  isolation   show which client gets which secret\n"
	"\n"
	"SOPS files with age keys, as `sops` reads and writes them. Keys: --age-key-file,\n"
	"SOPS_AGE_KEY_FILE, SOPS_AGE_KEY, SOPS_AGE_SSH_PRIVATE_KEY_FILE,\n"
	"what SOPS_AGE_KEY_CMD and SOPS_AGE_SSH_PRIVATE_KEY_CMD print,\n"
	"~/.config/sops/age/keys.txt, ~/.ssh/id_ed25519 and ~/.ssh/id_rsa.\n"
	"\n"
	"Exit status: 0 fine, 1 failed, 2 usage, 25 a value does not decrypt, 51 MAC\n"
	"mismatch, 128 no key opens it, 200 nothing changed (edit), 203 encrypted already.\n"
	"`aviary secrets COMMAND --help` tells more, aviary-secrets(1) all.\n";

void secrets_usage(const struct secrets_command *command, struct buf *out)
{
	buf_addf(out, "usage: aviary secrets %s %s\n\n%s", command->name, command->arguments,
		command->text);
	const char *blank = "\n";
	for (size_t i = 0; i < ARRAY_LEN(option_texts); i++) {
		char letter = option_texts[i].letter;
		/* -y of keygen is told in its text */
		if (!strchr(command->options, letter) ||
			(letter == 'y' && command == &secrets_keygen))
			continue;
		buf_addf(out, "%s  %s\n", blank, option_texts[i].text);
		blank = "";
	}
}

static void print_command_usage(const struct secrets_command *command, FILE *out)
{
	auto_buf struct buf text = BUF_INIT(16384);
	secrets_usage(command, &text);
	fputs(text.text, out);
}

static bool takes(const struct secrets_command *command, int letter)
{
	bool rule = letter > RULE_FIRST && letter < RULE_FIRST + SOPS_RULES;
	return letter == 'H' || strchr(command->options, rule ? '2' : letter) != NULL;
}

static bool take_flag(struct secrets_options *options, int letter)
{
	bool *flags[] = {['i'] = &options->in_place,
		['j'] = &options->json,
		['I'] = &options->idempotent,
		['m'] = &options->mac_only_encrypted,
		['s'] = &options->value_stdin,
		['v'] = &options->value_file,
		['y'] = &options->yes};
	if (letter >= (int)ARRAY_LEN(flags) || !flags[letter])
		return false;
	*flags[letter] = true;
	return true;
}

static void take_text(struct secrets_options *options, int letter)
{
	struct strlist *lists[] = {
		['a'] = &options->age, ['A'] = &options->add_age, ['R'] = &options->rm_age};
	const char **texts[] = {['C'] = &options->commit,
		['T'] = &options->input_type,
		['U'] = &options->output_type,
		['c'] = &options->config,
		['d'] = &options->indent,
		['f'] = &options->filename_override,
		['k'] = &options->age_key_file,
		['n'] = &options->threshold,
		['o'] = &options->output,
		['x'] = &options->extract};
	if (letter > RULE_FIRST && letter < RULE_FIRST + SOPS_RULES)
		options->rules[letter - RULE_FIRST] = optarg;
	else if (letter < (int)ARRAY_LEN(lists) && lists[letter])
		strlist_add(lists[letter], optarg);
	else
		*texts[letter] = optarg;
}

/* @return 0, 2 for wrong usage, or -1 when help is asked for */
static int parse(const struct secrets_command *command, int argc, char **argv,
	struct secrets_options *options)
{
	int letter;
	optind = 0; /* start over: glibc keeps its place between calls */
	while ((letter = getopt_long(argc, argv, "a:iyo:", long_options, NULL)) != -1) {
		if (letter == '?')
			return 2;
		if (letter == 'H')
			return -1;
		if (!takes(command, letter)) {
			fprintf(stderr, "aviary: `secrets %s` does not take this option\n",
				command->name);
			return 2;
		}
		if (!take_flag(options, letter))
			take_text(options, letter);
	}
	options->files = argv + optind;
	options->file_count = (size_t)(argc - optind);
	return options->file_count >= command->least && options->file_count <= command->most ? 0
											     : 2;
}

static void options_clear(struct secrets_options *options)
{
	strlist_clear(&options->age);
	strlist_clear(&options->add_age);
	strlist_clear(&options->rm_age);
}

static int run_command(const struct secrets_command *command, int argc, char **argv)
{
	CLEANUP(options_clear) struct secrets_options options = {0};
	struct error err;
	int status = parse(command, argc, argv, &options);
	if (status) {
		print_command_usage(command, status < 0 ? stdout : stderr);
		return status < 0 ? 0 : status;
	}
	if (!service_harden(&err))
		return secrets_fail(SOPS_OK, &err);
	return command->run(&options);
}

static int run_secrets(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";
	if (!strcmp(name, "--help") || !strcmp(name, "help")) {
		fputs(usage, stdout);
		return 0;
	}
	for (size_t i = 0; secrets_commands[i]; i++)
		if (!strcmp(name, secrets_commands[i]->name))
			return run_command(secrets_commands[i], argc - 1, argv + 1);
	if (*name)
		fprintf(stderr, "aviary: 'secrets %s' is no command\n", name);
	fputs(usage, stderr);
	return 2;
}

const struct command command_secrets = {.name = "secrets",
	.summary = "open, write and check files of secrets",
	.usage = usage,
	.run = run_secrets};
