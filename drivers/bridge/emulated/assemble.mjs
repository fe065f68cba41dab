// Lets the MicroPython of a real UF2, on an emulated RP2040, assemble the bridge's PIO program, and prints its opcodes.
//
//   node assemble.mjs UF2 BOOTROM
//
// UF2: MicroPython for RP2040, from its makers. BOOTROM: the 16 KiB of an RP2040's boot ROM, as a binary file. Neither
// comes with this project. The package rp2040js is looked for from the current folder.
//
// Exit codes: 0 printed; 1 MicroPython did not answer within a minute; 77 something is missing, and what.

import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const SKIPPED = 77;
const LIMIT_MS = 60_000;
const FLASH = 0x10000000;
const UF2_BLOCK = 512;

const skip = (reason) => {
  console.log(`skipped: ${reason}`);
  process.exit(SKIPPED);
};

const loaded = () => {
  try {
    return createRequire(join(process.cwd(), "package.json"))("rp2040js");
  } catch {
    return skip("the package rp2040js is not here; npm install rp2040js, and run this from the same folder");
  }
};

const [uf2, bootrom] = process.argv.slice(2);
if (!uf2 || !existsSync(uf2)) skip("no UF2 of MicroPython for RP2040 is given");
if (!bootrom || !existsSync(bootrom)) skip("no boot ROM of an RP2040 is given");
const { Simulator, USBCDC } = loaded();

const simulator = new Simulator();
const board = simulator.rp2040;
const rom = readFileSync(bootrom);
board.loadBootrom(new Uint32Array(rom.buffer.slice(rom.byteOffset, rom.byteOffset + rom.byteLength)));
const image = readFileSync(uf2);
for (let at = 0; at + UF2_BLOCK <= image.length; at += UF2_BLOCK) {
  const target = image.readUInt32LE(at + 12) - FLASH;
  board.flash.set(image.subarray(at + 32, at + 32 + image.readUInt32LE(at + 16)), target);
}

const here = dirname(fileURLToPath(import.meta.url));
const program = readFileSync(join(here, "..", "firmware", "m43bridge", "pio.py"), "utf8");
const tell = 'print("OPCODES", *("%04x" % word for word in handshake[0]), "END")';
const keys = Buffer.from(`\r\x03\x03\x01${program}\n${tell}\n\x04`);

const usb = new USBCDC(board.usbCtrl);
let said = "";
let sent = 0;
usb.onDeviceConnected = () =>
  setInterval(() => {
    while (sent < keys.length && !usb.txFIFO.full) usb.sendSerialByte(keys[sent++]);
  }, 1);
usb.onSerialData = (data) => {
  said += Buffer.from(data).toString("latin1");
  const found = said.match(/OPCODES ([0-9a-f ]+) END/);
  if (found) {
    console.log(found[1]);
    process.exit(0);
  }
};
setTimeout(() => {
  console.log(`MicroPython did not answer; it said: ${JSON.stringify(said.slice(-200))}`);
  process.exit(1);
}, LIMIT_MS);
board.core.PC = FLASH;
simulator.execute();
