// expect: thrown or timeout or instructions or crash
// An expression of ten thousand nested groups.
return new RegExp('('.repeat(10000) + ')'.repeat(10000)).test('');
