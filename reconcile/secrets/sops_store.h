/* reconcile/secrets/sops_store.h - the formats that hold a SOPS tree: from bytes to documents
 *
 * Specs/sops-age.md 2.1, 2.3, 2.11 to 2.14. Every format becomes a list of documents with a `sops`
 * entry in the first.
 */
#pragma once
#include "base/node.h"

struct buf;

enum sops_format { SOPS_YAML, SOPS_JSON, SOPS_DOTENV, SOPS_INI, SOPS_BINARY };

/** Indents of what is written; zero is sops' own: 4 blanks in YAML, a tab in JSON. */
struct sops_layout {
	unsigned yaml_indent;
	unsigned json_indent, binary_indent; /* blanks, and SOPS_INDENT_NONE for no indent */
};
#define SOPS_INDENT_NONE 1000

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

/** Format and layout of what is written. */
struct sops_printing {
	enum sops_format format;
	struct sops_layout layout;
};

/** Format of a name as in --input-type: yaml, json, dotenv, ini, binary. False for others. */
bool sops_format_by_name(const char *name, enum sops_format *format_out);
/** By the end of the file's name, as sops does: .yaml .yml .json .env .ini, else binary. */
enum sops_format sops_format_of(const char *file);

/** Parse a file into a list of documents; flattened metadata become a map again. */
MUST_USE bool sops_store_read(const struct sops_source *source, struct arena *arena,
	const struct node **documents_out, struct error *err);

/** Append a map as YAML in the form of sops 3.13: indent 4, no folding. */
void sops_yaml_write(const struct node *map, struct buf *out);
