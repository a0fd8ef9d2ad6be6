/*
 * QEMU plugin: how many guest instructions ran before each executed marker.
 *
 *   -plugin file=libcount.so,out=FILE,begin=N,end=N
 *
 * A marker is the Thumb instruction `movw r12, #N`. For each one that the guest executes, a line "N COUNT" is written to FILE,
 * COUNT being the number of instructions that ran before it.
 *
 * Written against version 1 of QEMU's plugin interface (QEMU 4.2 to 9.0). Its few functions are declared here, because
 * distributions ship QEMU without the header.
 *
 * QEMU translates blocks of instructions that run from top to bottom. The plugin adds a block's length when the block begins,
 * which costs far less than a call for each instruction; at a marker it subtracts what of the block is still to come. That is
 * exact as long as nothing leaves a block in its middle, and the firmware takes neither interrupts nor faults.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
struct qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };
typedef void (*vcpu_callback)(unsigned int vcpu, void *data);

extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, vcpu_callback, enum qemu_plugin_cb_flags, void *);
extern void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, vcpu_callback, enum qemu_plugin_cb_flags, void *);
extern void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void *), void *);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
extern const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
extern size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);

EXPORT int qemu_plugin_version = 1;

/* The boards have one core, so plain variables do. */
static uint64_t begun; /* Instructions in all blocks begun so far. */
static uint32_t marker_begin, marker_end;
static FILE *out;

/* The callbacks' data is one pointer: a block's length, or a marker with the number of instructions from it to its block's end. */
static void *pack(uint32_t marker, size_t instructions)
{
    return (void *)((uintptr_t)marker << 16 | (uintptr_t)instructions);
}

static void on_block(unsigned int vcpu, void *data)
{
    (void)vcpu;
    begun += (uintptr_t)data;
}

static void on_marker(unsigned int vcpu, void *data)
{
    (void)vcpu;
    uintptr_t packed = (uintptr_t)data;
    fprintf(out, "%u %" PRIu64 "\n", (unsigned)(packed >> 16), begun - (packed & 0xFFFF));
}

/* Whether the instruction is `movw r12, #immediate` (encoding T3), and its immediate: i:imm4 in the first halfword, imm3:imm8
 * in the second. */
static bool movw_r12(const struct qemu_plugin_insn *insn, uint32_t *immediate)
{
    uint16_t half[2];
    if (qemu_plugin_insn_size(insn) != sizeof half) {
        return false;
    }
    memcpy(half, qemu_plugin_insn_data(insn), sizeof half);
    if ((half[0] & 0xFBF0) != 0xF240 || (half[1] & 0x8F00) != 0x0C00) {
        return false;
    }
    *immediate = (half[0] & 0xFu) << 12 | (half[0] >> 10 & 1u) << 11 | (half[1] >> 12 & 7u) << 8 | (half[1] & 0xFFu);
    return true;
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
    (void)id;
    size_t length = qemu_plugin_tb_n_insns(block);
    qemu_plugin_register_vcpu_tb_exec_cb(block, on_block, QEMU_PLUGIN_CB_NO_REGS, pack(0, length));
    for (size_t i = 0; i < length; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, i);
        uint32_t marker;
        if (movw_r12(insn, &marker) && (marker == marker_begin || marker == marker_end)) {
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_marker, QEMU_PLUGIN_CB_NO_REGS, pack(marker, length - i));
        }
    }
}

static void on_exit_of_guest(qemu_plugin_id_t id, void *data)
{
    (void)id;
    (void)data;
    if (fclose(out) != 0) {
        perror("count: the file of marks");
    }
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "out=", 4) == 0) {
            out = fopen(argv[i] + 4, "w");
        } else if (strncmp(argv[i], "begin=", 6) == 0) {
            marker_begin = (uint32_t)strtoul(argv[i] + 6, NULL, 0);
        } else if (strncmp(argv[i], "end=", 4) == 0) {
            marker_end = (uint32_t)strtoul(argv[i] + 4, NULL, 0);
        } else {
            fprintf(stderr, "count: unknown option %s\n", argv[i]);
            return -1;
        }
    }
    if (out == NULL || marker_begin == 0 || marker_end == 0) {
        fprintf(stderr, "count: needs out=FILE (writable), begin=N and end=N\n");
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_atexit_cb(id, on_exit_of_guest, NULL);
    return 0;
}
