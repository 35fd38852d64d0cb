/* reconcile/secrets/sops_store.h - the formats that hold a SOPS tree: from bytes to documents
 *
 * Specs/sops-age.md 2.1, 2.3, 2.11 to 2.14. Every format becomes a list of documents with a `sops`
 * entry in the first.
 */
#pragma once
#include "base/node.h"

struct buf;

enum sops_format { SOPS_YAML, SOPS_JSON, SOPS_DOTENV, SOPS_INI, SOPS_BINARY };

/** A file in memory, borrowed. */
struct sops_source {
	enum sops_format format;
	const char *file; /* name for messages */
	const char *bytes;
	size_t len;
};

/** By the end of the file's name, as sops does: .yaml .yml .json .env .ini, else binary. */
enum sops_format sops_format_of(const char *file);

/** Parse a file into a list of documents; flattened metadata become a map again. */
MUST_USE bool sops_store_read(const struct sops_source *source, struct arena *arena,
	const struct node **documents_out, struct error *err);

/** Append a map as YAML in the form of sops 3.13: indent 4, no folding. */
void sops_yaml_write(const struct node *map, struct buf *out);
