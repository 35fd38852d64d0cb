/* server/cli/secrets.h - what the subcommands of `aviary secrets` share
 *
 * A line for each in the table of secrets.c. The exit status is sops' where the meaning is the
 * same, see sops_failure_exit(); 1 for all else that fails, 2 for wrong usage.
 */
#pragma once
#include "reconcile/secrets/sops_file.h"

#define SECRETS_FILE_MAX ((size_t)64 << 20) /* read; the formats have limits of their own */

struct secrets_options {
	const char *age_key_file;
	const char *input_type, *output_type;
	const char *extract;
	const char *output;
	const char *config;
	const char *filename_override; /* for rules and format; the input is read as it is called */
	const char *indent;
	const char *threshold;
	const char *commit;
	struct strlist age, add_age, rm_age; /* as given; commas inside */
	const char *rules[SOPS_RULES];       /* text for each rule of encryption, or NULL */
	bool mac_only_encrypted;
	bool in_place, yes, json, value_file, value_stdin, idempotent;
	char **files; /* what is not an option */
	size_t file_count;
};

struct secrets_command {
	const char *name;
	const char *summary;
	const char *arguments; /* for the usage: "FILE" */
	const char *options;   /* letters of those it takes, see the table in secrets.c */
	const char *text;      /* the rest of `--help` */
	size_t least, most;    /* files */
	int (*run)(const struct secrets_options *options);
};

extern const struct secrets_command secrets_decrypt, secrets_encrypt, secrets_edit, secrets_set,
	secrets_unset, secrets_rotate, secrets_update_keys, secrets_keygen, secrets_recipients,
	secrets_check, secrets_isolation;
/** All of them in the order of the usage; ends with NULL. */
extern const struct secrets_command *const secrets_commands[];
/** What `--help` of a subcommand prints. */
void secrets_usage(const struct secrets_command *command, struct buf *out);

/* ---- secrets_io.c ---- */
/** "aviary: <error>" on stderr, with known secrets masked. @return the failure's exit status, 1 for
 *  SOPS_OK */
int secrets_fail(enum sops_failure failure, const struct error *err);
/** Note for a person, as secrets_fail() prints it. */
PRINTF(1, 2) void secrets_note(const char *format, ...);

/** An input file in memory. */
struct secrets_input {
	const char *name; /* for messages and the format */
	struct buf text;  /* secret */
	enum sops_format format;
};
#define SECRETS_INPUT_INIT                                                                         \
	{                                                                                          \
		.text = BUF_INIT_SECRET(SECRETS_FILE_MAX)                                          \
	}
void secrets_input_clear(struct secrets_input *input);
#define auto_secrets_input CLEANUP(secrets_input_clear)
/** Read a file, or standard input for `-` and /dev/stdin. Format: --input-type, else by name. */
MUST_USE bool secrets_read(const struct secrets_options *options, const char *file,
	struct secrets_input *input, struct error *err);
/** Standard input to its end. */
MUST_USE bool secrets_read_stdin(struct buf *out, struct error *err);
struct sops_source secrets_source(const struct secrets_input *input);

/** The user's keys, of all places; passphrases are asked for on the terminal, if there is one. */
MUST_USE bool secrets_keys(
	const struct secrets_options *options, struct keyring **keyring_out, struct error *err);
/** Read, open and verify a file with the user's keys. @return 0, or the exit status after the
 *  message */
MUST_USE int secrets_open(
	const struct secrets_options *options, const char *file, struct sops_file **file_out);

/** The configuration: --config, SOPS_CONFIG, else `.sops.yaml` of this folder or one above; NULL
 *  stays if there is none. */
MUST_USE bool secrets_config(
	const struct secrets_options *options, struct sops_config **config_out, struct error *err);
/** The first rule that matches a file. @p creation_out is to be cleared by the caller. */
MUST_USE bool secrets_rule(const struct secrets_options *options, const struct sops_config *config,
	const char *file, struct sops_creation *creation_out, struct error *err);
/** The text of a number; NULL leaves it as it is. */
MUST_USE bool secrets_number(
	const char *text, unsigned long max, unsigned *number_out, struct error *err);
/** How a new file is encrypted: options over environment over rule. @p config may be NULL. */
MUST_USE bool secrets_creation(const struct secrets_options *options,
	const struct sops_config *config, const char *file, struct sops_creation *creation_out,
	struct error *err);
/** Format and indents of what is written, of a file of @p format. */
MUST_USE bool secrets_printing(const struct secrets_options *options, enum sops_format format,
	struct sops_printing *printing_out, struct error *err);
/** Recipients of --add-age or --rm-age. */
MUST_USE bool secrets_split(
	const struct strlist *texts, struct strlist *recipients_out, struct error *err);

/** Write a plain text to --output, the file itself with --in-place, or standard output. Files of
 *  it are for their owner alone. @return exit status */
MUST_USE int secrets_print(
	const struct secrets_options *options, const char *file, const struct buf *text);
/** Write the encrypted file, likewise; where it replaces one it keeps the mode. */
MUST_USE int secrets_save(
	const struct secrets_options *options, const char *path, struct sops_file *file);
