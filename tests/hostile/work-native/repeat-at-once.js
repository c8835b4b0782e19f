// expect: memory
// Reserves gigabytes in one call.
return 'a'.repeat(1 << 28).length > 0;
