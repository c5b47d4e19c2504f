/** What is known of an address, in words. */

import { PAGE_SIZE } from '../base/units'
import {
  type AddressDigits,
  digitsOf,
  type InspectedArea,
  type InspectedObject,
  type InspectedPage,
  type InspectedSlab,
  type InspectedTrack,
  type Inspection,
} from './inspection'

/** Frames of a stack that are shown. */
const FRAMES = 8

/**
 * An inspection in words: short lines, all but the first one indented, without a newline at the end.
 *
 * ```ts
 * console.log(describeInspection(inspect(machine, p)))
 * ```
 */
export function describeInspection(i: Inspection): string {
  if (i.where === 'none') {
    const what = i.asked === 'pfn' ? 'page frame' : 'address'
    return `${i.value} is no ${what}`
  }
  if (i.asked === 'pfn') return frameText(i)
  const lines: string[] = []
  if (i.area !== null) lines.push(...areaLines(i.area, i.digits))
  if (i.page !== null) lines.push(...pageLines(i.page, i.digits))
  else if (i.area !== null && i.area.kind !== 'free') lines.push('nothing is mapped there')
  else lines.push('nothing is there')
  const where = i.where === 'other' ? 'in no window of memory' : i.where
  return [`${digitsOf(i.digits, i.value)}: ${where}`, ...lines].join('\n  ')
}

/** A count of things. */
export function count(n: number, one: string, more = `${one}s`): string {
  return `${n} ${n === 1 ? one : more}`
}

function frameText({ page, where, digits }: Inspection): string {
  const lines = page === null ? [] : pageLines(page, digits)
  if (where === 'high memory') lines.push('the direct map does not reach it')
  return lines.join('\n  ')
}

function areaLines(area: InspectedArea, digits: AddressDigits): string[] {
  const range = `${digitsOf(digits, area.start)}-${digitsOf(digits, area.start + area.size)}`
  const text = `${range}, ${bytes(area.size)}`
  if (area.kind === 'free') return [`free: ${text}`]
  if (area.kind === 'unpurged') return [`freed, waits for a purge: ${text}`]
  const { block } = area
  if (block !== null) {
    const counts = `${block.pages} pages, ${block.free} never handed out, ${block.dirty} returned`
    return [`block of vm_map_ram: ${text}`, counts]
  }
  if (area.kind === 'vm_map_ram') return [`mapping of vm_map_ram: ${text}`]
  const lines = [`area: ${text}`]
  const facts: string[] = []
  if (area.caller !== '') facts.push(`of ${area.caller}`)
  if (area.nrPages > 0) facts.push(count(area.nrPages, 'page'))
  if (area.pageOrder > 0) facts.push(`in blocks of order ${area.pageOrder}`)
  if (area.phys !== 0) facts.push(`of device memory at ${hex(area.phys)}`)
  if (area.flagNames.length > 0) facts.push(area.flagNames.join('|'))
  if (facts.length > 0) lines.push(facts.join(', '))
  if (area.use !== '') lines.push(`holds the ${area.use}`)
  if (area.deferred) lines.push('put aside, to be freed later')
  const place = area.guard ? 'its guard page' : `page ${Math.floor(area.offset / PAGE_SIZE)} of it`
  lines.push(`the address is in ${place}, offset ${area.offset}`)
  return lines
}

function pageLines(page: InspectedPage, digits: AddressDigits): string[] {
  const name = `page frame ${hex(page.pfn)}`
  if (page.state === 'no memory') return [`${name}: no memory`]
  const zone = page.zone === '' ? 'no zone' : `zone ${page.zone}`
  const lines = [`${name}: ${zone}, node ${page.node}, pageblock ${page.blockType}`, block(page)]
  const { use } = page
  if (use?.kind === 'slab') lines.push(...slabLines(use.slab, digits))
  else if (use?.kind === 'large') {
    const whose = use.use === '' ? '' : `, ${use.use}`
    lines.push(`kmalloc block of ${bytes(use.size)} from ${digitsOf(digits, use.address)}${whose}`)
  } else if (use?.kind === 'table') {
    lines.push(`page table of the mapper: level ${use.level}, ${use.name}`)
  } else if (use?.kind === 'set aside') {
    lines.push('set aside by the slab layer: nothing may lie at address 0')
  } else if (use?.kind === 'area') {
    const caller = use.caller === '' ? '' : `, of ${use.caller}`
    lines.push(`belongs to the area at ${digitsOf(digits, use.start)}${caller}`)
  }
  if (page.owner !== '') lines.push(`page owner: ${page.owner}`)
  return lines
}

/** The block that a page is in. */
function block(page: InspectedPage): string {
  if (page.state === 'unknown') return 'in no block that is known'
  if (page.state === 'reserved') return 'reserved: never handed to the allocator'
  const tail = page.pfn === page.head ? '' : `, page ${page.pfn - page.head} of it`
  const order = `order ${page.order} from frame ${hex(page.head)}${tail}`
  const list = page.listType === '' ? '' : `, on the list of ${page.listType}`
  if (page.state === 'free') return `free: ${order}${list}`
  if (page.state === 'cpu list') return `free, with CPU ${page.cpu}: ${order}${list}`
  const flags = page.flagNames === '' ? '' : `, flags ${page.flagNames}`
  const reserve = page.pfmemalloc ? ', from the reserves' : ''
  return `in use: ${order}, ${count(page.references, 'reference')}${flags}${reserve}`
}

function slabLines(slab: InspectedSlab, digits: AddressDigits): string[] {
  const broken = slab.quarantined ? ', found corrupted' : ''
  const lines = [
    `slab of ${slab.cache}: ${slab.inUse} of ${slab.objects} objects in use, ${slab.list}${broken}`,
  ]
  const { object } = slab
  if (object === null) return [...lines, 'behind the last object']
  const start = digitsOf(digits, object.start)
  lines.push(`object ${object.index} at ${start}, ${bytes(slab.objectSize)}, ${object.state}`)
  lines.push(offsetText(object, slab.objectSize))
  if (object.use !== '') lines.push(`the allocator's own: ${object.use}`)
  lines.push(...trackLines('allocated', object.allocated), ...trackLines('freed', object.freed))
  return lines
}

function offsetText({ offset }: InspectedObject, size: number): string {
  if (offset < 0) return `the address is ${bytes(-offset)} in front of it`
  const text = `the address is at offset ${offset}`
  return offset < size ? text : `${text}, behind its ${bytes(size)}`
}

function trackLines(what: string, track: InspectedTrack | null): string[] {
  if (track === null) return []
  const when = `${count(track.age, 'jiffy', 'jiffies')} ago`
  const line = `${what} by ${track.by}, CPU ${track.cpu}, pid ${track.pid}, ${when}`
  return [line, ...track.stack.slice(0, FRAMES).map((frame) => `  ${frame}`)]
}

function bytes(n: number): string {
  return count(n, 'byte')
}

function hex(n: number): string {
  return `0x${n.toString(16)}`
}
