// A small body: wakes the lens, carries out one command of shape read, keeps the block (specs/2-link.md §2.3, §2.4, §2.9).
//
// Written as a program, as test benches are. It waits for every acknowledge; its delays, in nanoseconds, are this
// project's own choice (provisional).
`timescale 1ns / 1ns

module m43_body #(
    parameter [31:0] COMMAND = 32'hC1_80_01_06
) (
    output reg CLK,
    inout      DATA,
    output reg BODY_ACK,
    input      LENS_ACK,
    output reg SLEEP,
    output reg FOCUS,
    output reg SHUTTER
);
    localparam ATTENTION = 10_000_000, FIRST_COMMAND = 20_000_000;
    localparam READY = 2_000, SETUP = 250, LOW = 1_000, HIGH = 1_000, HAND_OVER = 5_000;

    reg speaking = 0;
    reg level = 0;
    assign DATA = speaking ? level : 1'bz;

    // What it has learnt.
    reg [ 7:0] command_sum;
    reg [15:0] length;
    reg [ 7:0] block[0:4095];
    reg [ 7:0] data_sum;
    reg        sums_ok = 0;
    reg        done = 0;

    task clock_out(input [7:0] value);
        integer place;
        for (place = 0; place < 8; place = place + 1) begin
            CLK = 0;
            #SETUP level = value[place];
            #(LOW - SETUP) CLK = 1;
            #HIGH;
        end
    endtask

    task clock_in(output [7:0] value);
        integer place;
        for (place = 0; place < 8; place = place + 1) begin
            CLK = 0;
            #LOW value[place] = DATA;
            CLK = 1;
            #HIGH;
        end
    endtask

    // One turn of the body: four bytes.
    task speak(input [31:0] values);
        integer index;
        begin
            BODY_ACK = 1;
            for (index = 3; index >= 0; index = index - 1) begin
                wait (LENS_ACK) #READY speaking = 1;
                clock_out(values[8*index+:8]);
                wait (!LENS_ACK);
            end
            #HAND_OVER speaking = 0;
            BODY_ACK = 0;
        end
    endtask

    // One turn of the lens: one byte.
    task listen(output [7:0] value);
        begin
            wait (LENS_ACK) #READY BODY_ACK = 1;
            #READY clock_in(value);
            #HAND_OVER BODY_ACK = 0;
            wait (!LENS_ACK);
        end
    endtask

    integer at;
    reg [7:0] sum;

    initial begin
        {CLK, BODY_ACK, SLEEP, FOCUS, SHUTTER} = 5'b10000;
        #1_000_000 SLEEP = 1;
        #ATTENTION BODY_ACK = 1;
        wait (LENS_ACK) wait (!LENS_ACK) #READY BODY_ACK = 0;

        #FIRST_COMMAND speak(COMMAND);
        listen(command_sum);
        listen(length[7:0]);
        listen(length[15:8]);
        sum = 0;
        for (at = 0; at < length - 1; at = at + 1) begin
            listen(block[at]);
            sum = sum + block[at];
        end
        listen(data_sum);
        sums_ok = data_sum == sum
            && command_sum == ((COMMAND[31:24] + COMMAND[23:16] + COMMAND[15:8] + COMMAND[7:0]) & 8'hFF);
        #HAND_OVER done = 1;
    end
endmodule
