// Runs exchange.py under the MicroPython of @micropython/micropython-webassembly-pyscript, looked for from here:
//   node micropython.mjs FIRMWARE EXCHANGE

import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [firmware, exchange] = process.argv.slice(2);
const found = createRequire(join(process.cwd(), "package.json")).resolve("@micropython/micropython-webassembly-pyscript");
const { loadMicroPython } = await import(pathToFileURL(found));
const python = await loadMicroPython({ heapsize: 4 << 20, linebuffer: true, stdout: (line) => console.log(line) });
python.FS.mkdir("/m43bridge");
for (const name of readdirSync(join(firmware, "m43bridge"))) {
  if (name.endsWith(".py")) python.FS.writeFile(`/m43bridge/${name}`, readFileSync(join(firmware, "m43bridge", name)));
}
python.runPython(`import sys\nsys.path.append("/")\n${readFileSync(exchange, "utf8")}`);
