/* reconcile/secrets/sops_store.h - the formats that hold a SOPS tree: bytes to items and back
 *
 * Specs/sops-age.md 2.1, 2.3, 2.11 to 2.14. One file per format: sops_yaml*.c, sops_json*.c,
 * sops_dotenv.c, sops_ini*.c; a binary file is JSON with one value.
 */
#pragma once
#include "reconcile/secrets/sops_item.h"

struct buf;

enum sops_format { SOPS_YAML, SOPS_JSON, SOPS_DOTENV, SOPS_INI, SOPS_BINARY };

/** Indents of what is written; zero is sops' own: 4 blanks in YAML, a tab in JSON. */
struct sops_layout {
	unsigned yaml_indent;
	unsigned json_indent, binary_indent; /* blanks, and SOPS_INDENT_NONE for no indent */
};
#define SOPS_INDENT_NONE 1000
#define SOPS_INDENT_MAX  32

/** Format and layout of what is written. */
struct sops_printing {
	enum sops_format format;
	struct sops_layout layout;
};

/** Text of somebody else; may hold NUL. */
struct sops_text {
	const char *bytes;
	size_t len;
};

/** A file in memory, borrowed. */
struct sops_source {
	enum sops_format format;
	const char *file; /* name for messages */
	const char *bytes;
	size_t len;
};

/** Format of a name as in --input-type: yaml, json, dotenv, ini, binary. False for others. */
bool sops_format_by_name(const char *name, enum sops_format *format_out);
/** By the end of the file's name, as sops does: .yaml .yml .json .env .ini, else binary. */
enum sops_format sops_format_of(const char *file);

/** An encrypted file as it was read. */
struct sops_loaded {
	struct sops_item *documents; /* a list of maps, their `sops` entries removed */
	const struct node *metadata; /* of the first; NULL: it has none, and documents is not set */
};

/**
 * Parse an encrypted file; flattened metadata become a map again. Memory is the arena's.
 * @param comments  keep those of a YAML file; the other formats' are always there
 */
MUST_USE bool sops_store_read(const struct sops_source *source, struct arena *arena, bool comments,
	struct sops_loaded *loaded_out, struct error *err);
/** Parse a plain file into a list of documents; @p taken_out: it has an entry that SOPS itself
 *  would write. */
MUST_USE bool sops_store_read_plain(const struct sops_source *source, struct arena *arena,
	struct sops_item **documents_out, bool *taken_out, struct error *err);

/** Has a document a name at its top that SOPS itself needs? */
bool sops_store_is_taken(enum sops_format format, const struct sops_item *document);

/** Append a plain file. ERR_INVALID where the format has no form for a value. */
MUST_USE bool sops_store_write_plain(const struct sops_item *documents,
	const struct sops_printing *printing, struct buf *out, struct error *err);
/** Append an encrypted file: the documents with @p metadata in each. Changes nothing. */
MUST_USE bool sops_store_write(const struct sops_item *documents, const struct node *metadata,
	const struct sops_printing *printing, struct buf *out, struct error *err);
/** Append one value as sops does for --extract; a string goes as it is. */
MUST_USE bool sops_store_write_value(const struct sops_item *value,
	const struct sops_printing *printing, struct buf *out, struct error *err);
