/* reconcile/secrets/sops_yaml_scalar.h - how a text stands in YAML, as sops 3.13 writes it */
#pragma once
#include "base/mem.h"

struct buf;

enum sops_yaml_style {
	SOPS_YAML_PLAIN,
	SOPS_YAML_SINGLE,
	SOPS_YAML_DOUBLE,
	SOPS_YAML_LITERAL,
	SOPS_YAML_BINARY /* not UTF-8 */
};

/** The style that a text gets; keys are never literal blocks. */
enum sops_yaml_style sops_yaml_style(const char *text, size_t len, bool key);

/** Append a text in its style, which is not literal. */
void sops_yaml_inline(const char *text, size_t len, bool key, struct buf *out);
