// The place of one end of the mount, which m43drivers.simulator.for_cocotb.join fills: connect it to your design.
//
// Bit n of each word is line n: CLK, DATA, BODY_ACK, LENS_ACK, SLEEP, FOCUS, SHUTTER. Leave a contact open that your
// design has not.
`timescale 1ns / 1ns

module m43_end (
    inout CLK,
    inout DATA,
    inout BODY_ACK,
    inout LENS_ACK,
    inout SLEEP,
    inout FOCUS,
    inout SHUTTER
);
    reg [6:0] level = 0;   // what this end drives ...
    reg [6:0] driven = 0;  // ... on the lines whose bit is set here

    // What is on the lines, whoever drives it: z for nobody, x for two against each other.
    wire [6:0] lines = {SHUTTER, FOCUS, SLEEP, LENS_ACK, BODY_ACK, DATA, CLK};

    assign CLK      = driven[0] ? level[0] : 1'bz;
    assign DATA     = driven[1] ? level[1] : 1'bz;
    assign BODY_ACK = driven[2] ? level[2] : 1'bz;
    assign LENS_ACK = driven[3] ? level[3] : 1'bz;
    assign SLEEP    = driven[4] ? level[4] : 1'bz;
    assign FOCUS    = driven[5] ? level[5] : 1'bz;
    assign SHUTTER  = driven[6] ? level[6] : 1'bz;
endmodule
