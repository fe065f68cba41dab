/*
 * The Micro Four Thirds lens mount in C99: opcodes, messages, sums and the grammar of a transaction.
 *
 * {{ note }} From m43proto, SPDX-License-Identifier: Apache-2.0.
 *
 * No heap, no dependencies, no floating point. Values stand as on the wire; the end of a name tells the unit
 * (_mm_x10: ten of them are a millimetre). Nothing here comes from a maker's specification: each message and field
 * tells how sure it is and where that is known from (specs/references.md of m43proto).
 *
{% for level in evidence %} *   {{ (level.value + ":").ljust(13) }}{{ level.meaning }}
{% endfor %} *
 * Define M43_PROVISIONAL for the messages that m43proto made up.
 */
#ifndef M43_H
#define M43_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define M43_COMMAND_SIZE {{ command_size }}u
#define M43_LENGTH_SIZE {{ length_size }}u

/* What follows a command and its sum. */
typedef enum {
{% for row in shapes %}    M43_SHAPE_{{ row.shape.name }}{{ " = 0" if loop.first else "" }}, /* {{ row.summary | said }} ({{ row.evidence }}, {{ row.source }}) */
{% endfor %}    M43_SHAPE_UNKNOWN /* nobody has seen this nibble */
} m43_shape;

/* The two sides. */
typedef enum {
{% for role in roles %}    M43_{{ role.name }}{{ " = 0" if loop.first else "" }}{{ "" if loop.last else "," }}
{% endfor %}} m43_role;

/* Where in a transaction the bus is. */
typedef enum {
{% for phase in phases %}    M43_PHASE_{{ phase.name }}{{ " = 0" if loop.first else "" }}{{ "" if loop.last else "," }}
{% endfor %}} m43_phase;

/* The wire's checksum: the sum of the bytes, modulo 256. */
uint8_t m43_sum(const uint8_t *data, size_t size);

/* The shape of a command of M43_COMMAND_SIZE bytes. */
m43_shape m43_shape_of(const uint8_t *command);

/* Put an opcode and the two argument bytes, with which each canonical form begins, together to a command. */
void m43_command(uint16_t opcode, const uint8_t *canonical, uint8_t *command);

/* A message by its opcode. size: bytes of the canonical form; 0 when its end is open. */
typedef struct {
    uint16_t opcode;
    m43_shape shape;
    uint16_t size;
    const char *name;
    const char *evidence;
} m43_message;

/* The message of a command, or NULL when nobody declared it. */
const m43_message *m43_find(const uint8_t *command);

/*
 * Messages. The canonical form is: two argument bytes, the data of the block without length and sum, the status byte,
 * as far as the shape has them.
 *
 * init:   set every field to what was seen, or to 0 where each value makes sense.
 * decode: read the canonical form; false when the size is wrong. Open ends point into the canonical form.
 * encode: write the canonical form; return its size, or 0 when the capacity is too small.
 */
{% for group in groups %}{% if group.guard %}
#ifdef {{ group.guard }}
{% endif %}{% for one in group.messages %}
/* {{ one.spec.name }}: {{ one.spec.doc | said }} Evidence: {{ one.spec.evidence }} ({{ one.spec.source | said }}){{ "; section " + one.spec.section if one.spec.section else "" }}. */
#define M43_{{ one.macro }}_OPCODE {{ one.opcode }}
#define M43_{{ one.macro }}_SHAPE M43_SHAPE_{{ one.spec.shape.name }}
#define M43_{{ one.macro }}_{{ "SIZE" if one.size else "LEAST_SIZE" }} {{ one.least }}u
{% for field in one.fields %}{% for macro, value in field.labels %}#define M43_{{ one.macro }}_{{ macro }} {{ value }}
{% endfor %}{% endfor %}
typedef struct {
{% for field in one.fields %}    {{ field.declaration }} /* {{ field.comment }} */
{% endfor %}} m43_{{ one.name }};

void m43_{{ one.name }}_init(m43_{{ one.name }} *message);
bool m43_{{ one.name }}_decode(m43_{{ one.name }} *message, const uint8_t *canonical, size_t size);
size_t m43_{{ one.name }}_encode(const m43_{{ one.name }} *message, uint8_t *canonical, size_t capacity);
{% endfor %}{% if group.guard %}
#endif
{% endif %}{% endfor %}
/* What a byte did to a transaction. */
typedef enum {
    M43_MORE = 0,      /* the transaction goes on */
    M43_COMPLETE,      /* it is whole; its parts stay until the next byte */
    M43_UNKNOWN_SHAPE, /* its command announces no known shape; the next byte begins a command */
    M43_NO_ROOM,       /* a block of length 0 has no room for its sum; the next byte begins a command */
    M43_OUT_OF_TURN    /* the other side has no turn now; the byte was dropped */
} m43_result;

/*
 * The grammar of a transaction, byte by byte, whoever says them: for an observer, and inside an end.
 * data: where the block goes; what does not fit is counted and summed, and lost.
 */
typedef struct {
    m43_phase phase;
    m43_shape shape;
    bool has_command_sum;
    bool has_data_sum;
    uint8_t command[M43_COMMAND_SIZE];
    uint8_t command_sum;
    uint8_t data_sum;
    uint8_t running_sum;
    uint8_t status;
    uint16_t length;
    uint16_t held;
    uint16_t data_size;
    uint16_t capacity;
    uint8_t *data;
} m43_parser;

void m43_parser_init(m43_parser *parser, uint8_t *data, uint16_t capacity);

/* Forget the transaction at hand: it broke off. */
void m43_parser_reset(m43_parser *parser);

m43_result m43_parser_take(m43_parser *parser, uint8_t value);

/* Who drives DATA for the next byte. */
m43_role m43_parser_sender(const m43_parser *parser);

/* How many bytes the present phase still takes. */
uint16_t m43_parser_missing(const m43_parser *parser);

/* Whether no sum that was sent is wrong. */
bool m43_parser_sums_ok(const m43_parser *parser);

/*
 * One end of the mount, byte by byte. The caller carries bytes between this and the wire, in the order of the turns:
 * while m43_end_next gives bytes, say them; then give what the other side says to m43_end_take.
 */
typedef struct {
    m43_parser parser;
    m43_role role;
    m43_result result;
    bool has_answer;
    bool owes_sum;
    bool begun;
    uint8_t command[M43_COMMAND_SIZE];
    uint16_t size;
    const uint8_t *said;
} m43_end;

void m43_end_init(m43_end *end, m43_role role, uint8_t *data, uint16_t capacity);

/*
 * As the body, begin a transaction; data is what a write sends, without length and sum, and must live until it ends.
 * False, and nothing begun: not a body, a transaction is open, the shape is unknown, or the data is too long.
 */
bool m43_body_begin(m43_end *end, const uint8_t *command, const uint8_t *data, uint16_t size);

/* Whether the lens is due to answer a command with a block or a status byte. */
bool m43_lens_is_asked(const m43_end *end);

/*
 * As the lens, answer: the data of a block without length and sum, or one status byte; it must live until it is said.
 * False, and nothing said: nothing was asked, a status has not one byte, or the data is too long.
 */
bool m43_lens_answer(m43_end *end, const uint8_t *data, uint16_t size);

/* The next byte that this end has to say; false when it has none. end->result tells what the byte did. */
bool m43_end_next(m43_end *end, uint8_t *value);

/* Take a byte of the other side. */
m43_result m43_end_take(m43_end *end, uint8_t value);

#endif
