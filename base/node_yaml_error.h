/* base/node_yaml_error.h - what libyaml's errors mean to the person who wrote the file
 *
 * Internal to base/node_yaml.c.
 */
#pragma once
#include "base/error.h"
#include <yaml.h>

struct node_input {
	const char *file;
	const char *bytes;
	size_t len;
};

/** Translate the error that stopped a parser, with its line and a remedy. @return false */
bool node_yaml_error(
	const yaml_parser_t *parser, const struct node_input *input, struct error *err);
