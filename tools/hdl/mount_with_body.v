// The Verilog body on a mount whose lens cocotb plays.
`timescale 1ns / 1ns

module mount_with_body;
    wire CLK, DATA, BODY_ACK, LENS_ACK, SLEEP, FOCUS, SHUTTER;

    m43_body body (.CLK(CLK), .DATA(DATA), .BODY_ACK(BODY_ACK), .LENS_ACK(LENS_ACK), .SLEEP(SLEEP), .FOCUS(FOCUS), .SHUTTER(SHUTTER));
    m43_end lens (.CLK(CLK), .DATA(DATA), .BODY_ACK(BODY_ACK), .LENS_ACK(LENS_ACK), .SLEEP(SLEEP), .FOCUS(FOCUS), .SHUTTER(SHUTTER));
endmodule
