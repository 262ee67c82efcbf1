// Codes pictures with sharp's mozjpeg on one thread, for benchmarks/codec_sharp.py.
//
//     node encode.js FOLDER QUALITY,QUALITY,… TIMED_QUALITY ROUNDS
//
// Each NAME.jpg of the folder becomes NAME.QUALITY.out there; the CPU seconds of decoding and coding all of them at
// TIMED_QUALITY, ROUNDS times, are printed.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'

const [folder, qualities, timedQuality, rounds] = process.argv.slice(2)
sharp.concurrency(1)
sharp.cache(false)

const names = readdirSync(folder).filter((name) => name.endsWith('.jpg')).sort()
const bodies = names.map((name) => readFileSync(join(folder, name)))
const encode = (body, quality) => sharp(body).jpeg({ mozjpeg: true, quality: Number(quality) }).toBuffer()

for (const [index, name] of names.entries()) {
  for (const quality of qualities.split(',')) {
    writeFileSync(join(folder, `${name.slice(0, -4)}.${quality}.out`), await encode(bodies[index], quality))
  }
}

const before = process.cpuUsage()
for (let round = 0; round < Number(rounds); round++) {
  for (const body of bodies) await encode(body, timedQuality)
}
const { user, system } = process.cpuUsage(before)
console.log((user + system) / 1e6)
