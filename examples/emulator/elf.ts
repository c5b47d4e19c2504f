/** Reads the parts of an executable ELF64 file that a loader needs: program headers, nothing else. */

/** A part of memory that the file describes. */
export interface Segment {
  /** Virtual address of the first byte. */
  readonly address: number
  /** Bytes in memory. Those after the ones of the file are 0. */
  readonly size: number
  /** Bytes in the file, at most `size`. */
  readonly bytes: Uint8Array
  readonly readable: boolean
  readonly writable: boolean
  readonly executable: boolean
}

/** A program. */
export interface Program {
  /** Address of the first instruction. */
  readonly entry: number
  /** In ascending order. */
  readonly segments: readonly Segment[]
}

const EM_RISCV = 243
const PT_LOAD = 1

/** Parses an executable. @throws Error for a file that is not one for RV64. */
export function parseElf(file: Uint8Array): Program {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength)
  const u16 = (at: number): number => view.getUint16(at, true)
  const u32 = (at: number): number => view.getUint32(at, true)
  const u64 = (at: number): number => Number(view.getBigUint64(at, true))

  const ident = '\x7fELF\x02\x01' // 64 bits, little endian
  for (let i = 0; i < ident.length; i++) {
    if (file[i] !== ident.charCodeAt(i)) throw new Error('not an ELF64 file, little endian')
  }
  if (file.length < 64 || u16(16) !== 2 || u16(18) !== EM_RISCV) {
    throw new Error('not an executable for RISC-V')
  }
  const segments: Segment[] = []
  const [headers, headerBytes, count] = [u64(32), u16(54), u16(56)]
  if (headers + count * headerBytes > file.length)
    throw new Error('the program headers are cut off')
  for (let at = headers; at < headers + count * headerBytes; at += headerBytes) {
    if (u32(at) !== PT_LOAD) continue
    const flags = u32(at + 4)
    const [offset, address, fileBytes, size] = [
      u64(at + 8),
      u64(at + 16),
      u64(at + 32),
      u64(at + 40),
    ]
    if (fileBytes > size || offset + fileBytes > file.length)
      throw new Error('a segment is cut off')
    segments.push({
      address,
      size,
      bytes: file.subarray(offset, offset + fileBytes),
      readable: (flags & 4) !== 0,
      writable: (flags & 2) !== 0,
      executable: (flags & 1) !== 0,
    })
  }
  return { entry: u64(24), segments: segments.sort((a, b) => a.address - b.address) }
}
