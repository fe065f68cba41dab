/* {{ note }} From m43proto, SPDX-License-Identifier: Apache-2.0. See m43.h. */
#include "m43.h"

#define LONGEST_DATA 0xFFFEu

typedef struct {
    m43_role sender;
    uint16_t size; /* 0: the length word says so */
    m43_phase then;
} turn;

/* By m43_phase. What follows the command sum depends on the shape. */
static const turn turns[] = {
{% for row in turns %}    { M43_{{ row.sender }}, {{ row.size }}u, M43_PHASE_{{ row.then }} }{{ "" if loop.last else "," }} /* {{ row.phase }} */
{% endfor %}};

/* By m43_shape. */
static const m43_phase after_command[] = {
{% for phase in after_command %}    M43_PHASE_{{ phase }}{{ "" if loop.last else "," }}
{% endfor %}};

static const m43_message messages[] = {
{% for group in groups %}{% if group.guard %}#ifdef {{ group.guard }}
{% endif %}{% for one in group.messages %}    { M43_{{ one.macro }}_OPCODE, M43_{{ one.macro }}_SHAPE, {{ one.least if one.size else 0 }}u, "{{ one.spec.name }}", "{{ one.spec.evidence }}" },
{% endfor %}{% if group.guard %}#endif
{% endif %}{% endfor %}    { 0u, M43_SHAPE_UNKNOWN, 0u, NULL, NULL } /* the end */
};

uint8_t m43_sum(const uint8_t *data, size_t size)
{
    uint32_t sum = 0u;

    for (size_t at = 0u; at < size; at++) {
        sum = (sum + data[at]) & 0xFFu;
    }
    return (uint8_t)sum;
}

const m43_message *m43_find(const uint8_t *command)
{
    const uint32_t opcode = ((uint32_t)command[0] << 8) | command[1];
    const m43_message *found = NULL;

    for (size_t at = 0u; (found == NULL) && (messages[at].name != NULL); at++) {
        if (messages[at].opcode == opcode) {
            found = &messages[at];
        }
    }
    return found;
}

m43_shape m43_shape_of(const uint8_t *command)
{
    const m43_message *known = m43_find(command);
    m43_shape shape = M43_SHAPE_UNKNOWN;

    if (known != NULL) {
        shape = known->shape;
    } else {
        switch (command[0] >> 4) {
{% for row in shapes %}        case {{ "0x%Xu" % row.nibble }}:
            shape = M43_SHAPE_{{ row.shape.name }};
            break;
{% endfor %}        default:
            break;
        }
    }
    return shape;
}

void m43_command(uint16_t opcode, const uint8_t *canonical, uint8_t *command)
{
    command[0] = (uint8_t)(opcode >> 8);
    command[1] = (uint8_t)(opcode & 0xFFu);
    command[2] = canonical[0];
    command[3] = canonical[1];
}

/* Wire integers. */
{% if "get_le(" in codec %}
static uint32_t get_le(const uint8_t *data, size_t size)
{
    uint32_t value = 0u;

    for (size_t at = size; at > 0u; at--) {
        value = (value << 8) | data[at - 1u];
    }
    return value;
}
{% endif %}{% if "get_be(" in codec %}
static uint32_t get_be(const uint8_t *data, size_t size)
{
    uint32_t value = 0u;

    for (size_t at = 0u; at < size; at++) {
        value = (value << 8) | data[at];
    }
    return value;
}
{% endif %}{% if "put_le(" in codec %}
static void put_le(uint8_t *data, size_t size, uint32_t value)
{
    uint32_t rest = value;

    for (size_t at = 0u; at < size; at++) {
        data[at] = (uint8_t)(rest & 0xFFu);
        rest >>= 8;
    }
}
{% endif %}{% if "put_be(" in codec %}
static void put_be(uint8_t *data, size_t size, uint32_t value)
{
    uint32_t rest = value;

    for (size_t at = size; at > 0u; at--) {
        data[at - 1u] = (uint8_t)(rest & 0xFFu);
        rest >>= 8;
    }
}
{% endif %}{% if "with_sign(" in codec %}
static int32_t with_sign(uint32_t value, uint32_t half)
{
    int32_t result;

    if (value < half) {
        result = (int32_t)value;
    } else {
        const uint32_t above = value - half;
        const uint32_t below = half - 1u;

        result = (int32_t)above;
        result -= (int32_t)below;
        result -= 1;
    }
    return result;
}
{% endif %}{% if "copy(" in codec %}
static void copy(uint8_t *to, const uint8_t *from, size_t size)
{
    for (size_t at = 0u; at < size; at++) {
        to[at] = from[at];
    }
}
{% endif %}
{{ codec }}
/* The grammar. */

static uint16_t wanted(const m43_parser *parser)
{
    uint16_t size = turns[parser->phase].size;

    if (size == 0u) {
        size = (parser->length == 0u) ? 0u : (uint16_t)(parser->length - 1u);
    }
    return size;
}

void m43_parser_init(m43_parser *parser, uint8_t *data, uint16_t capacity)
{
    parser->data = data;
    parser->capacity = capacity;
    m43_parser_reset(parser);
}

void m43_parser_reset(m43_parser *parser)
{
    parser->phase = M43_PHASE_COMMAND;
    parser->shape = M43_SHAPE_UNKNOWN;
    parser->has_command_sum = false;
    parser->has_data_sum = false;
    parser->command_sum = 0u;
    parser->data_sum = 0u;
    parser->running_sum = 0u;
    parser->status = 0u;
    parser->length = 0u;
    parser->held = 0u;
    parser->data_size = 0u;
    for (size_t at = 0u; at < M43_COMMAND_SIZE; at++) {
        parser->command[at] = 0u;
    }
}

m43_role m43_parser_sender(const m43_parser *parser)
{
    return turns[parser->phase].sender;
}

uint16_t m43_parser_missing(const m43_parser *parser)
{
    return (parser->phase == M43_PHASE_IDLE) ? (uint16_t)M43_COMMAND_SIZE : (uint16_t)(wanted(parser) - parser->held);
}

bool m43_parser_sums_ok(const m43_parser *parser)
{
    const bool command_ok = parser->command_sum == m43_sum(parser->command, M43_COMMAND_SIZE);
    const bool data_ok = parser->data_sum == parser->running_sum;

    return (command_ok || !parser->has_command_sum) && (data_ok || !parser->has_data_sum);
}

static void put_data(m43_parser *parser, uint8_t value)
{
    if (parser->data_size < parser->capacity) {
        parser->data[parser->data_size] = value;
    }
    parser->data_size++;
    parser->running_sum = (uint8_t)((parser->running_sum + (uint32_t)value) & 0xFFu);
}

static void put(m43_parser *parser, uint8_t value)
{
    switch (parser->phase) {
    case M43_PHASE_COMMAND:
        parser->command[parser->held] = value;
        break;
    case M43_PHASE_COMMAND_SUM:
        parser->command_sum = value;
        parser->has_command_sum = true;
        break;
    case M43_PHASE_STATUS:
        parser->status = value;
        break;
    case M43_PHASE_READ_LENGTH:
    case M43_PHASE_WRITE_LENGTH:
        parser->length = (uint16_t)(parser->length | ((uint32_t)value << (8u * parser->held)));
        break;
    case M43_PHASE_READ_SUM:
    case M43_PHASE_WRITE_SUM:
        parser->data_sum = value;
        parser->has_data_sum = true;
        break;
    default:
        put_data(parser, value);
        break;
    }
    parser->held++;
}

/* Leave a phase that is full, and a phase of data that is empty. */
static m43_result advance(m43_parser *parser)
{
    m43_result result = M43_MORE;

    if (parser->phase == M43_PHASE_COMMAND_SUM) {
        parser->phase = after_command[parser->shape];
    } else {
        parser->phase = turns[parser->phase].then;
    }
    parser->held = 0u;
    if (parser->phase == M43_PHASE_IDLE) {
        result = M43_COMPLETE;
    } else if (turns[parser->phase].size == 0u) {
        if (parser->length == 0u) {
            result = M43_NO_ROOM;
        } else if (parser->length == 1u) {
            parser->phase = turns[parser->phase].then;
        } else {
            /* data follows */
        }
    } else {
        /* the phase has bytes */
    }
    return result;
}

m43_result m43_parser_take(m43_parser *parser, uint8_t value)
{
    m43_result result = M43_MORE;

    if (parser->phase == M43_PHASE_IDLE) {
        m43_parser_reset(parser);
    }
    put(parser, value);
    if (parser->held == wanted(parser)) {
        if (parser->phase == M43_PHASE_COMMAND) {
            parser->shape = m43_shape_of(parser->command);
        }
        if (parser->shape == M43_SHAPE_UNKNOWN) {
            result = M43_UNKNOWN_SHAPE;
        } else {
            result = advance(parser);
        }
    }
    if ((result == M43_UNKNOWN_SHAPE) || (result == M43_NO_ROOM)) {
        parser->phase = M43_PHASE_IDLE;
    }
    return result;
}

/* One end. */

static bool is_open(const m43_end *end)
{
    return (end->parser.phase != M43_PHASE_IDLE) && ((end->parser.phase != M43_PHASE_COMMAND) || end->begun);
}

void m43_end_init(m43_end *end, m43_role role, uint8_t *data, uint16_t capacity)
{
    m43_parser_init(&end->parser, data, capacity);
    end->role = role;
    end->result = M43_MORE;
    end->has_answer = false;
    end->owes_sum = false;
    end->begun = false;
    end->size = 0u;
    end->said = NULL;
}

bool m43_body_begin(m43_end *end, const uint8_t *command, const uint8_t *data, uint16_t size)
{
    const bool fits = (m43_shape_of(command) != M43_SHAPE_UNKNOWN) && (size <= LONGEST_DATA);
    const bool begins = (end->role == M43_BODY) && fits && !is_open(end);

    if (begins) {
        m43_parser_reset(&end->parser);
        for (size_t at = 0u; at < M43_COMMAND_SIZE; at++) {
            end->command[at] = command[at];
        }
        end->said = data;
        end->size = size;
        end->begun = true;
    }
    return begins;
}

bool m43_lens_is_asked(const m43_end *end)
{
    bool asked = false;

    switch (end->parser.phase) {
    case M43_PHASE_STATUS:
    case M43_PHASE_READ_LENGTH:
        asked = (end->role == M43_LENS) && !end->has_answer;
        break;
    default:
        break;
    }
    return asked;
}

bool m43_lens_answer(m43_end *end, const uint8_t *data, uint16_t size)
{
    const bool fits = (end->parser.phase == M43_PHASE_STATUS) ? (size == 1u) : (size <= LONGEST_DATA);
    const bool answers = m43_lens_is_asked(end) && fits;

    if (answers) {
        end->said = data;
        end->size = size;
        end->has_answer = true;
    }
    return answers;
}

static bool has_turn(const m43_end *end)
{
    bool turn_of_end = m43_parser_sender(&end->parser) == end->role;

    if (end->role == M43_BODY) {
        turn_of_end = turn_of_end && end->begun;
    } else if ((end->parser.phase == M43_PHASE_COMMAND_SUM) || (end->parser.phase == M43_PHASE_WRITE_SUM)) {
        /* the lens owes a sum without being given one */
    } else {
        turn_of_end = turn_of_end && end->has_answer;
    }
    return turn_of_end && (end->parser.phase != M43_PHASE_IDLE);
}

static uint8_t next_value(const m43_end *end)
{
    const m43_parser *parser = &end->parser;
    uint8_t value = 0u;

    switch (parser->phase) {
    case M43_PHASE_COMMAND:
        value = end->command[parser->held];
        break;
    case M43_PHASE_COMMAND_SUM:
        value = m43_sum(parser->command, M43_COMMAND_SIZE);
        break;
    case M43_PHASE_READ_LENGTH:
    case M43_PHASE_WRITE_LENGTH:
        value = (uint8_t)(((end->size + 1uL) >> (8u * parser->held)) & 0xFFu);
        break;
    case M43_PHASE_READ_SUM:
    case M43_PHASE_WRITE_SUM:
        value = parser->running_sum;
        break;
    default: /* data, and the status byte */
        value = end->said[parser->held];
        break;
    }
    return value;
}

static m43_result taken(m43_end *end, uint8_t value)
{
    end->result = m43_parser_take(&end->parser, value);
    if (end->result != M43_MORE) {
        end->has_answer = false;
        end->begun = false;
        end->owes_sum = (end->role == M43_LENS) && (end->result == M43_UNKNOWN_SHAPE);
    }
    return end->result;
}

bool m43_end_next(m43_end *end, uint8_t *value)
{
    bool has = true;

    if (end->owes_sum) {
        /* A lens returns the sum of every command, even of one whose shape it does not know. */
        *value = m43_sum(end->parser.command, M43_COMMAND_SIZE);
        end->owes_sum = false;
    } else if (has_turn(end)) {
        *value = next_value(end);
        (void)taken(end, *value);
    } else {
        has = false;
    }
    return has;
}

m43_result m43_end_take(m43_end *end, uint8_t value)
{
    m43_result result = M43_OUT_OF_TURN;
    const m43_phase phase = end->parser.phase;
    const bool begins = (phase == M43_PHASE_IDLE) || (phase == M43_PHASE_COMMAND);
    const m43_role sender = begins ? M43_BODY : m43_parser_sender(&end->parser);

    if ((sender != end->role) && !end->owes_sum) {
        result = taken(end, value);
    }
    return result;
}
