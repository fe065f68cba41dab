// The Verilog lens on a mount whose body cocotb plays.
`timescale 1ns / 1ps

module mount_with_lens #(
    parameter [7:0] BENT = 0
);
    wire CLK, DATA, BODY_ACK, LENS_ACK, SLEEP, FOCUS, SHUTTER;
    reg clock = 0;
    always #31.25 clock = !clock;  // 16 MHz

    m43_lens #(.BENT(BENT)) lens (.clock(clock), .CLK(CLK), .DATA(DATA), .BODY_ACK(BODY_ACK), .LENS_ACK(LENS_ACK), .SLEEP(SLEEP));
    m43_end body (.CLK(CLK), .DATA(DATA), .BODY_ACK(BODY_ACK), .LENS_ACK(LENS_ACK), .SLEEP(SLEEP), .FOCUS(FOCUS), .SHUTTER(SHUTTER));
endmodule
