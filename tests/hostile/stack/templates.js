// expect: syntax or timeout or instructions or thrown
// Four thousand nested templates.
return @@4000|`${@@1@@4000|}`@@ === 2;
