/** The Mem-Info block of a 128 MiB guest out of memory, measured. Source: page-allocator spec §12.3. */
export const MEM_INFO_SAMPLE = `Mem-Info:
active_anon:441 inactive_anon:7950 isolated_anon:0
 active_file:0 inactive_file:0 isolated_file:0
 unevictable:0 dirty:0 writeback:0
 slab_reclaimable:481 slab_unreclaimable:777
 mapped:402 shmem:8115 pagetables:15
 sec_pagetables:0 bounce:0
 kernel_misc_reclaimable:0
 free:412 free_pcp:19 free_cma:0
Node 0 active_anon:1764kB inactive_anon:31800kB active_file:0kB inactive_file:0kB unevictable:0kB isolated(anon):0kB isolated(file):0kB mapped:1608kB dirty:0kB writeback:0kB shmem:32460kB shmem_thp: 0kB shmem_pmdmapped: 0kB anon_thp: 0kB writeback_tmp:0kB kernel_stack:400kB pagetables:60kB sec_pagetables:0kB all_unreclaimable? yes
Node 0 DMA free:548kB boost:0kB min:188kB low:232kB high:276kB reserved_highatomic:0KB active_anon:0kB inactive_anon:14736kB active_file:0kB inactive_file:0kB unevictable:0kB writepending:0kB present:15992kB managed:15360kB mlocked:0kB bounce:0kB free_pcp:0kB local_pcp:0kB free_cma:0kB
lowmem_reserve[]: 0 92 92 92
Node 0 DMA32 free:1100kB boost:0kB min:1108kB low:1384kB high:1660kB reserved_highatomic:0KB active_anon:1764kB inactive_anon:17052kB active_file:0kB inactive_file:0kB unevictable:0kB writepending:0kB present:114560kB managed:94836kB mlocked:0kB bounce:0kB free_pcp:76kB local_pcp:76kB free_cma:0kB
lowmem_reserve[]: 0 0 0 0
Node 0 DMA: 1*4kB (M) 2*8kB (ME) 1*16kB (E) 2*32kB (ME) 1*64kB (E) 1*128kB (E) 1*256kB (E) 0*512kB 0*1024kB 0*2048kB 0*4096kB = 548kB
Node 0 DMA32: 1*4kB (U) 3*8kB (UME) 1*16kB (U) 1*32kB (M) 2*64kB (UM) 3*128kB (UME) 0*256kB 1*512kB (U) 0*1024kB 0*2048kB 0*4096kB = 1100kB
Node 0 hugepages_total=0 hugepages_free=0 hugepages_surp=0 hugepages_size=1048576kB
Node 0 hugepages_total=0 hugepages_free=0 hugepages_surp=0 hugepages_size=2048kB
8115 total pagecache pages
0 pages in swap cache
Free swap  = 0kB
Total swap = 0kB
32638 pages RAM
0 pages HighMem/MovableOnly
5089 pages reserved
0 pages cma reserved`
