/* reconcile/secrets/sops_formats.h - readers and writers of the formats: for sops_store.c and tests
 */
#pragma once
#include "base/buf.h"
#include "reconcile/secrets/sops_store.h"

/** A JSON object as a map: order and repeated keys are kept, integers of 64 bits are integers. */
MUST_USE bool sops_json_read(const struct sops_source *source, struct arena *arena,
	struct sops_item **document_out, struct error *err);
/** Any JSON value, for `set`: at the top a number is always a float, as sops has it. */
MUST_USE bool sops_json_read_value(const struct sops_source *source, struct arena *arena,
	struct sops_item **value_out, struct error *err);
/** Append an item as JSON without a line end. ERR_INVALID for infinity and NaN. */
MUST_USE bool sops_json_write(
	const struct sops_item *item, unsigned indent, struct buf *out, struct error *err);

/** A dotenv file as a map. */
MUST_USE bool sops_dotenv_read(const struct sops_source *source, struct arena *arena,
	struct sops_item **document_out, struct error *err);
/** Append a map as dotenv. */
MUST_USE bool sops_dotenv_write(
	const struct sops_item *document, struct buf *out, struct error *err);

/** An ini file as a map of sections, `DEFAULT` with the keys before the first; a section that
 *  comes twice is there twice. */
MUST_USE bool sops_ini_read(const struct sops_source *source, struct arena *arena,
	struct sops_item **document_out, struct error *err);
/** Append a map of sections as ini. */
MUST_USE bool sops_ini_write(const struct sops_item *document, struct buf *out, struct error *err);
/** Append a scalar as it stands in dotenv and ini files; maps and lists are ERR_INVALID. */
MUST_USE bool sops_flat_scalar(const struct sops_item *item, struct buf *out, struct error *err);

/** Append a document as YAML in the form of sops 3.13: no folding, comments at their items. */
void sops_yaml_write(const struct sops_item *document, unsigned indent, struct buf *out);
