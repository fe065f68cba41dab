// A small lens: wakes up, answers every command with its sum, and one of shape read with one block that never changes
// (specs/2-link.md §2.3, §2.4, §2.9). It knows no other shapes.
//
// Written as logic with one clock, meant for 16 MHz; its delays, in clocks, are this project's own choice (provisional).
`timescale 1ns / 1ps

module m43_lens #(
    parameter [7:0] BENT = 0  // added to the sum of the block: something for an observer to notice
) (
    input      clock,
    input      CLK,
    inout      DATA,
    input      BODY_ACK,
    output reg LENS_ACK,
    input      SLEEP
);
    localparam WAKE = 72, WAKE_WIDTH = 16_000;
    localparam ANSWER = 72, TAKEN = 80, AGAIN = 72, SUM = 72, RELEASE = 40, REPLY = 288;

    // The first status on record of an Olympus 14-42 (specs/5-messages.md), last byte first.
    localparam SIZE = 30;
    localparam [8*SIZE-1:0] STATUS = 240'h024e_035c_02a4_0247_01ea_018c_012f_00d2_000c_0c00_03b1_0042_0c00_0000_e1c2;

    localparam [3:0] OFF = 0, RISE = 1, WIDTH = 2, FALL = 3, IDLE = 4, READY = 5, HEAR = 6, HEARD = 7, HANDED = 8,
        PREPARE = 9, OFFER = 10, SAY = 11, SAID = 12, LET_GO = 13;

    reg [ 3:0] state = OFF;
    reg [15:0] pause = 0;
    reg [ 1:0] clk_seen = 3, ack_seen = 0, sleep_seen = 0;  // two steps into the clock's time, newest in bit 0
    reg        clk_was = 1;
    reg [ 3:0] places;
    reg [ 1:0] heard;     // bytes of the command so far
    reg [ 5:0] said;      // bytes of the answer so far: command sum, length, data, data sum
    reg        has_block;
    reg [ 7:0] shift, sum, data_sum;
    reg        speaking = 0, level = 0;

    assign DATA = speaking ? level : 1'bz;
    wire clk = clk_seen[1], ack = ack_seen[1];
    wire rises = clk && !clk_was, falls = !clk && clk_was;
    wire last = said == (has_block ? SIZE + 3 : 0);

    function [7:0] byte_at(input [5:0] index);
        case (index)
            0: byte_at = sum;
            1: byte_at = SIZE + 1;
            2: byte_at = 0;
            SIZE + 3: byte_at = data_sum + BENT;
            default: byte_at = STATUS[8*(index-3)+:8];
        endcase
    endfunction

    // Go on to a state after a pause.
    task go(input [3:0] next, input [15:0] clocks);
        begin
            state <= next;
            pause <= clocks;
        end
    endtask

    task drop;
        begin
            LENS_ACK <= 0;
            speaking <= 0;
            level <= 0;
        end
    endtask

    initial LENS_ACK = 0;

    always @(posedge clock) begin
        clk_seen <= {clk_seen[0], CLK};
        ack_seen <= {ack_seen[0], BODY_ACK};
        sleep_seen <= {sleep_seen[0], SLEEP};
        clk_was <= clk;
        if (!sleep_seen[1]) begin
            drop;
            go(OFF, 0);
        end else if (pause != 0) pause <= pause - 1;
        else
            case (state)
                // the wake pulse
                OFF: if (ack) go(RISE, WAKE);
                RISE: begin
                    LENS_ACK <= 1;
                    go(WIDTH, WAKE_WIDTH);
                end
                WIDTH: begin
                    LENS_ACK <= 0;
                    go(FALL, 0);
                end
                FALL: if (!ack) go(IDLE, 0);

                // a command
                IDLE: begin
                    heard <= 0;
                    sum <= 0;
                    if (ack) go(READY, ANSWER);
                end
                READY: begin
                    LENS_ACK <= 1;
                    places <= 0;
                    go(HEAR, 0);
                end
                HEAR:
                if (!ack) begin
                    drop;
                    go(IDLE, 0);
                end else if (rises) begin
                    shift  <= {DATA, shift[7:1]};
                    places <= places + 1;
                    if (places == 7) go(HEARD, TAKEN);
                end
                HEARD: begin
                    LENS_ACK <= 0;
                    sum <= sum + shift;
                    if (heard == 0) has_block <= shift[7:4] == 4'hC;
                    heard <= heard + 1;
                    if (heard == 3) go(HANDED, 0);
                    else go(READY, AGAIN);
                end
                HANDED:
                if (!ack) begin
                    said <= 0;
                    data_sum <= 0;
                    go(PREPARE, SUM);
                end

                // the answer
                PREPARE: begin
                    LENS_ACK <= 1;
                    speaking <= 1;
                    shift <= byte_at(said);
                    if (said > 2) data_sum <= data_sum + byte_at(said);
                    places <= 0;
                    go(OFFER, 0);
                end
                OFFER: if (ack) go(SAY, 0);
                SAY:
                if (!ack) begin
                    drop;
                    go(IDLE, 0);
                end else if (falls) begin
                    level  <= shift[0];
                    shift  <= shift >> 1;
                    places <= places + 1;
                end else if (rises && places == 8) go(SAID, 0);
                SAID: if (!ack) go(LET_GO, RELEASE);
                LET_GO: begin
                    LENS_ACK <= 0;
                    if (last) begin
                        drop;
                        go(IDLE, 0);
                    end else begin
                        said <= said + 1;
                        go(PREPARE, REPLY);
                    end
                end
                default: go(OFF, 0);
            endcase
    end
endmodule
