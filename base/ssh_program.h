/* base/ssh_program.h - a command on a host through the program ssh; of base/ssh*.c only
 *
 * stdin and stdout of the program are one socket, so that one descriptor tells about both.
 */
#pragma once
#include "base/ssh.h"

struct ssh_program;
/** Start `ssh`. ERR_NOT_FOUND, ERR_SYSTEM. @param argv  what comes before the command */
MUST_USE bool ssh_program_start(const char *const *argv, const char *command,
	struct ssh_program **program_out, struct error *err);
/** Ends what still runs of it here. */
void ssh_program_free(struct ssh_program *program);
/** As ssh_read_step(), ssh_write_step(), ssh_write_end_step(), ssh_poll(). */
enum ssh_step ssh_program_read(struct ssh_program *program, enum ssh_stream stream,
	struct ssh_chunk *chunk, struct error *err);
/** See above. */
enum ssh_step ssh_program_write(struct ssh_program *program, const void *bytes, size_t len,
	size_t *put_out, struct error *err);
/** See above. */
enum ssh_step ssh_program_write_end(struct ssh_program *program, struct error *err);
/** See above. */
size_t ssh_program_poll(const struct ssh_program *program, struct pollfd *fds);
