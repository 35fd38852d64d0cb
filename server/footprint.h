/* server/footprint.h - giving back memory that only the start needed */
#pragma once

/**
 * Hand free heap to the kernel, and let go of the pages of program and libraries that are only
 * read: relocation and initialisation touched most of them once. What is used again comes back
 * from the page cache, without I/O. Any thread.
 */
void footprint_trim(void);
