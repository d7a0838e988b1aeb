/**
 * XXH3, the hash by which a store files its keys and checks its header (Yann Collet, "xxHash fast digest algorithm", 2019).
 *
 * @module
 */

const MASK = 2n ** 64n - 1n;
const LOW = 2n ** 32n - 1n;

const PRIME32_1 = 0x9e37_79b1n;
const PRIME32_2 = 0x85eb_ca77n;
const PRIME32_3 = 0xc2b2_ae3dn;
const PRIME64_1 = 0x9e37_79b1_85eb_ca87n;
const PRIME64_2 = 0xc2b2_ae3d_27d4_eb4fn;
const PRIME64_3 = 0x1656_67b1_9e37_79f9n;
const PRIME64_4 = 0x85eb_ca77_c2b2_ae63n;
const PRIME64_5 = 0x27d4_eb2f_1656_67c5n;
const PRIME_MX1 = 0x1656_6791_9e37_79f9n;
const PRIME_MX2 = 0x9fb2_1c65_1e98_df25n;

/** What the algorithm mixes in, as 64-bit numbers of 8 bytes each. */
const SECRET = new DataView(
  BigUint64Array.of(
    0xbe4b_a423_396c_feb8n,
    0x1cad_21f7_2c81_017cn,
    0xdb97_9083_e96d_d4den,
    0x1f67_b3b7_a4a4_4072n,
    0x78e5_c0cc_4ee6_79cbn,
    0x2172_ffcc_7dd0_5a82n,
    0x8e24_43f7_7446_08b8n,
    0x4c26_3a81_e690_35e0n,
    0xcb00_c391_bb52_283cn,
    0xa32e_531b_8b65_d088n,
    0x4ef9_0da2_9748_6471n,
    0xd8ac_dea9_46ef_1938n,
    0x3f34_9ce3_3f76_faa8n,
    0x1d4f_0bc7_c7bb_dcf9n,
    0x3159_b4cd_4be0_518an,
    0x6473_78d9_c97e_9fc8n,
    0xc3eb_d334_83ac_c5ean,
    0xeb63_13fa_ffa0_81c5n,
    0x49da_f0b7_51dd_0d17n,
    0x9e68_d429_2655_16d3n,
    0xfca1_477d_58be_162bn,
    0xce31_d07a_d1b8_f88fn,
    0x2804_1695_8f3a_cb45n,
    0x7e40_4bbb_cafb_d7afn,
  ).buffer,
);

const STRIPE_BYTES = 64;
/** Each stripe of a block meets the secret so much further on. */
const SECRET_STEP = 8;
const BLOCK_STRIPES = (SECRET.byteLength - STRIPE_BYTES) / SECRET_STEP;

/** Longer inputs than this go by stripes. */
const MIDSIZE_MAX = 240;

function u64(view: DataView, at: number): bigint {
  return view.getBigUint64(at, true);
}

function rotated(word: bigint, bits: bigint): bigint {
  return (word << bits | word >> (64n - bits)) & MASK;
}

function swapped(word: bigint): bigint {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, word, true);
  return view.getBigUint64(0, false);
}

/** Both halves of a product of 128 bits, one upon the other. */
function folded(a: bigint, b: bigint): bigint {
  const product = a * b;
  return (product & MASK) ^ (product >> 64n);
}

function avalanche(hash: bigint): bigint {
  hash = ((hash ^ hash >> 37n) * PRIME_MX1) & MASK;
  return hash ^ hash >> 32n;
}

/** That of XXH64, which very short inputs take. */
function oldAvalanche(hash: bigint): bigint {
  hash = ((hash ^ hash >> 33n) * PRIME64_2) & MASK;
  hash = ((hash ^ hash >> 29n) * PRIME64_3) & MASK;
  return hash ^ hash >> 32n;
}

function mixed(input: DataView, at: number, secretAt: number, seed: bigint): bigint {
  return folded(
    u64(input, at) ^ ((u64(SECRET, secretAt) + seed) & MASK),
    u64(input, at + 8) ^ ((u64(SECRET, secretAt + 8) - seed) & MASK),
  );
}

function short(input: DataView, seed: bigint): bigint {
  const length = input.byteLength;
  if (length === 0) return oldAvalanche(seed ^ u64(SECRET, 56) ^ u64(SECRET, 64));
  if (length < 4) {
    const combined = input.getUint8(0) << 16 | input.getUint8(length >> 1) << 24 | input.getUint8(length - 1) |
      length << 8;
    const flip = BigInt((SECRET.getUint32(0, true) ^ SECRET.getUint32(4, true)) >>> 0) + seed;
    return oldAvalanche((BigInt(combined >>> 0) ^ flip) & MASK);
  }
  if (length <= 8) {
    seed ^= swapped(seed & LOW) & ~LOW;
    const flip = (u64(SECRET, 8) ^ u64(SECRET, 16)) - seed;
    const both = BigInt(input.getUint32(length - 4, true)) + (BigInt(input.getUint32(0, true)) << 32n);
    let hash = (both ^ flip) & MASK;
    hash ^= rotated(hash, 49n) ^ rotated(hash, 24n);
    hash = (hash * PRIME_MX2) & MASK;
    hash ^= (hash >> 35n) + BigInt(length);
    hash = (hash * PRIME_MX2) & MASK;
    return hash ^ hash >> 28n;
  }
  const low = u64(input, 0) ^ (((u64(SECRET, 24) ^ u64(SECRET, 32)) + seed) & MASK);
  const high = u64(input, length - 8) ^ (((u64(SECRET, 40) ^ u64(SECRET, 48)) - seed) & MASK);
  return avalanche((BigInt(length) + swapped(low) + high + folded(low, high)) & MASK);
}

function midsize(input: DataView, seed: bigint): bigint {
  const length = input.byteLength;
  let sum = BigInt(length) * PRIME64_1;
  if (length <= 128) {
    for (let i = (length - 1) >> 5; i >= 0; i--) {
      sum += mixed(input, 16 * i, 32 * i, seed) + mixed(input, length - 16 * (i + 1), 32 * i + 16, seed);
    }
    return avalanche(sum & MASK);
  }
  for (let i = 0; i < 8; i++) sum += mixed(input, 16 * i, 16 * i, seed);
  sum = avalanche(sum & MASK);
  for (let i = 8; i < length >> 4; i++) sum += mixed(input, 16 * i, 16 * (i - 8) + 3, seed);
  return avalanche((sum + mixed(input, length - 16, 136 - 17, seed)) & MASK);
}

function seeded(seed: bigint): DataView {
  if (seed === 0n) return SECRET;
  const secret = new DataView(new ArrayBuffer(SECRET.byteLength));
  for (let at = 0; at < SECRET.byteLength; at += 16) {
    secret.setBigUint64(at, u64(SECRET, at) + seed, true);
    secret.setBigUint64(at + 8, u64(SECRET, at + 8) - seed, true);
  }
  return secret;
}

function accumulate(sums: bigint[], input: DataView, at: number, secret: DataView, secretAt: number): void {
  for (let i = 0; i < 8; i++) {
    const data = u64(input, at + 8 * i);
    const key = data ^ u64(secret, secretAt + 8 * i);
    sums[i ^ 1] += data;
    sums[i] += (key & LOW) * (key >> 32n);
  }
}

function long(input: DataView, seed: bigint): bigint {
  const length = input.byteLength;
  const secret = seeded(seed);
  const sums = [PRIME32_3, PRIME64_1, PRIME64_2, PRIME64_3, PRIME64_4, PRIME32_2, PRIME64_5, PRIME32_1];
  const stripes = Math.floor((length - 1) / STRIPE_BYTES);
  for (let stripe = 0; stripe < stripes; stripe++) {
    const place = stripe % BLOCK_STRIPES;
    accumulate(sums, input, stripe * STRIPE_BYTES, secret, place * SECRET_STEP);
    if (place !== BLOCK_STRIPES - 1) continue;
    for (let i = 0; i < 8; i++) {
      const sum = sums[i] & MASK;
      const scrambled = sum ^ sum >> 47n ^ u64(secret, SECRET.byteLength - STRIPE_BYTES + 8 * i);
      sums[i] = (scrambled * PRIME32_1) & MASK;
    }
  }
  accumulate(sums, input, length - STRIPE_BYTES, secret, SECRET.byteLength - STRIPE_BYTES - 7);
  let hash = BigInt(length) * PRIME64_1;
  for (let i = 0; i < 4; i++) {
    const [a, b] = [sums[2 * i] & MASK, sums[2 * i + 1] & MASK];
    hash += folded(a ^ u64(secret, 11 + 16 * i), b ^ u64(secret, 19 + 16 * i));
  }
  return avalanche(hash & MASK);
}

/**
 * Hashes bytes.
 *
 * @param bytes The bytes.
 * @param seed A number of 64 bits.
 * @returns A number of 64 bits.
 */
export function xxh3(bytes: Uint8Array, seed = 0n): bigint {
  const input = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (input.byteLength <= 16) return short(input, seed);
  return input.byteLength <= MIDSIZE_MAX ? midsize(input, seed) : long(input, seed);
}
