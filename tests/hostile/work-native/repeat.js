// expect: instructions or timeout or memory
// Long texts made and dropped, few instructions each.
for (;;) 'abcdefgh'.repeat(100000);
